# Independent reference for weighted fits and augmented contrasts (trajectories.comparison, weighted trajectories.fitting), by hand.
# Run in this folder: Rscript contrast_reference.R. It reads contrast_patients.csv (the patients of the simulated cohort of 400, written by
# test_contrasts.py's `patients_table`) and that cohort's visits, and writes
#   contrast_reference.csv   case, quantity, value
#   contrast_versions.csv    R and package versions
suppressPackageStartupMessages({library(MASS); library(survey); library(lme4); library(nnet)})
d <- read.csv("contrast_patients.csv")
arms <- c("fingolimod", "ocrelizumab", "alemtuzumab")
d$arm <- factor(d$arm, arms)
out <- list()
add <- function(case, quantity, value) out[[length(out) + 1]] <<- data.frame(case = case, quantity = quantity, value = as.numeric(value))

# propensities and overlap weights, average 1 within each arm
m <- multinom(arm ~ age + edss_baseline + relapses_year_before, d, trace = FALSE, reltol = 1e-15, abstol = 1e-12, maxit = 1000)
e <- fitted(m); own <- e[cbind(seq_len(nrow(d)), as.integer(d$arm))]
ate <- 1 / own; h <- 1 / rowSums(1 / e); ato <- h / own
level <- function(w) w / ave(w, d$arm)
d$w <- level(ato)

# weighted counts: Poisson by survey (whose variance has the factor n / (n - 1)), negative binomial by glm.nb and a sandwich by hand
n <- nrow(d); d$wm <- d$w / mean(d$w)
s <- svyglm(after ~ arm + age + offset(log(exposure)), svydesign(ids = ~1, weights = ~wm, data = d), family = quasipoisson(),
            control = glm.control(epsilon = 1e-14, maxit = 100))
for (k in names(coef(s))) { add("poisson", paste0("estimate ", k), coef(s)[k]); add("poisson", paste0("se ", k), SE(s)[k] * sqrt((n - 1) / n)) }
X <- model.matrix(~ arm + age, d); p <- ncol(X)
terms <- function(t) dnbinom(d$after, mu = d$exposure * exp(X %*% t[1:p]), size = exp(-t[p + 1]), log = TRUE)
g <- glm.nb(after ~ arm + age + offset(log(exposure)), d, weights = wm, control = glm.control(epsilon = 1e-14, maxit = 200))
total <- function(t) sum(d$wm * terms(t))
best <- optim(c(coef(g), -log(g$theta)), total, method = "BFGS", control = list(fnscale = -1, reltol = 1e-15, maxit = 1000, ndeps = rep(1e-5, p + 1), parscale = c(1, 1, 1, 0.02, 1)))
t <- best$par
scores <- sapply(seq_along(t), function(k) { s <- c(1e-5, 1e-5, 1e-5, 1e-7, 1e-5)[k] * (seq_along(t) == k); (terms(t + s) - terms(t - s)) / (2 * sum(s)) }) * d$wm
H <- optimHess(t, total, control = list(ndeps = c(1e-3, 1e-3, 1e-3, 1e-5, 1e-3), fnscale = -1))
V <- solve(H) %*% crossprod(scores) %*% solve(H)
for (k in 1:p) { add("negative binomial", paste0("estimate ", colnames(X)[k]), t[k]); add("negative binomial", paste0("se ", colnames(X)[k]), sqrt(V[k, k])) }
add("negative binomial", "dispersion", exp(t[p + 1])); add("negative binomial", "se dispersion", exp(t[p + 1]) * sqrt(V[p + 1, p + 1]))

# augmented EDSS at 2 years: linear mixed model by maximum likelihood, the visit nearest to 2 years within 0.25
v <- read.csv("../../trajectories/example_data/simulated_three_dmts_400_visits.csv")
v <- v[!is.na(v$edss) & v$day > 0, ]; v$years <- v$day / 365.25
v <- merge(v, d[, c("patient", "arm", "age", "edss_baseline")], by = "patient")
f <- lmer(edss ~ edss_baseline + age + arm * years + (1 | patient), v, REML = FALSE, control = lmerControl(optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-12)))
near <- v[abs(v$years - 2) <= 0.25, ]; near <- near[order(abs(near$years - 2)), ]; near <- near[!duplicated(near$patient), ]
d$y <- near$edss[match(d$patient, near$patient)]; d$inside <- d$patient %in% v$patient
# everybody is in the target, those never seen after the start (no row in v) included
q <- d; q$ate <- level(ate); q$h <- h; q$seen <- !is.na(q$y); q$y[!q$seen] <- 0
# who was seen, of all patients, those never seen after the start among them: logistic, log odds ratios ~ N(0, 2.5^2) per standard deviation
# (n in the denominator) of their columns
there <- !is.na(d$y)
C <- model.matrix(~ arm + age + edss_baseline + relapses_year_before, d)[, -1]
C <- cbind(1, scale(C, scale = sqrt(colMeans(sweep(C, 2, colMeans(C))^2))))
posterior <- function(b) sum(dbinom(there, 1, plogis(C %*% b), log = TRUE)) - sum(b[-1]^2) / (2 * 2.5^2)
gradient <- function(b) drop(crossprod(C, there - plogis(C %*% b))) - c(0, b[-1]) / 2.5^2
b <- optim(rep(0, ncol(C)), posterior, gradient, method = "BFGS", control = list(fnscale = -1, reltol = 1e-15, maxit = 1000))$par
cc <- 1 / plogis(C %*% b)[, 1]
# the value of an arm, and its fall without each patient, one by one, with the predictions, the weights and cc held
augmented <- function(arm, w, h, y, m, e, cc) {
  use <- (q$arm == arm & e > 0) * w * cc
  value <- function(k) sum((h * m)[k]) / sum(h[k]) + sum((use * (y - e * m))[k]) / sum((use * e)[k])
  n <- seq_len(nrow(q)); theta <- value(n)
  list(theta = theta, falls = theta - sapply(n, function(i) value(n[-i])))
}
for (target in c("ATE", "ATO")) {
  r <- lapply(c("alemtuzumab", "fingolimod"), function(a) {
    mean <- predict(f, transform(q, arm = factor(a, arms), years = 2), re.form = NA)
    augmented(a, if (target == "ATE") q$ate else q$w, if (target == "ATE") rep(1, nrow(q)) else q$h, q$y, mean, as.numeric(q$seen), cc)
  })
  add(paste("EDSS", target), "difference", r[[1]]$theta - r[[2]]$theta); add(paste("EDSS", target), "se", sqrt(sum((r[[1]]$falls - r[[2]]$falls)^2)))
}
# augmented rate ratio, log scale
g <- glm.nb(after ~ arm + age + relapses_year_before + offset(log(exposure)), d, control = glm.control(epsilon = 1e-14, maxit = 200))
q <- d
r <- lapply(c("alemtuzumab", "fingolimod"), function(a)
  augmented(a, d$w, h, d$after, predict(g, transform(d, arm = factor(a, arms), exposure = 1), type = "response"), d$exposure, 1))
add("relapses ATO", "log ratio", log(r[[1]]$theta / r[[2]]$theta)); add("relapses ATO", "se", sqrt(sum((r[[1]]$falls / r[[1]]$theta - r[[2]]$falls / r[[2]]$theta)^2)))

write.csv(do.call(rbind, out), "contrast_reference.csv", row.names = FALSE)
versions <- sapply(c("MASS", "survey", "lme4", "nnet"), function(p) as.character(packageVersion(p)))
write.csv(data.frame(what = c("R", names(versions)), version = c(paste(R.version$major, R.version$minor, sep = "."), versions)), "contrast_versions.csv", row.names = FALSE)
