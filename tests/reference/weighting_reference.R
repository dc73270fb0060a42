# Independent reference for trajectories.weighting: propensities, weights, weighted means, raking, matching, mean differences.
# Run in this folder: Rscript weighting_reference.R. It writes
#   weighting_patients.csv    a simulated cohort of three arms: patient, arm, covariates, outcome y
#   weighting_patientwise.csv case, patient, quantity, value
#   weighting_reference.csv   case, quantity, value
#   weighting_versions.csv    R and package versions
suppressPackageStartupMessages({library(MatchIt); library(survey); library(nnet)})
set.seed(20261123)

n <- 240
d <- data.frame(patient = sprintf("p%03d", seq_len(n)), age = round(rnorm(n, 38, 9), 2), sex = ifelse(runif(n) < 0.7, "F", "M"),
                centre = sample(c("north", "south", "west"), n, TRUE), edss_baseline = pmin(7, pmax(0, round(rgamma(n, 4, 1.4) * 2) / 2)),
                relapses = rpois(n, 1.1))
d$edss_baseline[d$edss_baseline == 0.5] <- 1
eta <- cbind(0, -0.6 + 0.02 * (d$age - 38) + 0.3 * (d$edss_baseline - 3), -0.5 - 0.03 * (d$age - 38) + 0.5 * (d$relapses - 1) + 0.3 * (d$sex == "M"))
p <- exp(eta) / rowSums(exp(eta))
arms <- c("fingolimod", "ocrelizumab", "alemtuzumab")
d$arm <- arms[apply(p, 1, function(q) sample(3, 1, prob = q))]
d$y <- round(0.4 * (d$edss_baseline - 3) + 0.02 * (d$age - 38) - 0.3 * (d$arm == "alemtuzumab") + rnorm(n), 3)
write.csv(d, "weighting_patients.csv", row.names = FALSE)

per <- list(); one <- list()
each <- function(case, quantity, patient, value)
  per[[length(per) + 1]] <<- data.frame(case = case, quantity = quantity, patient = patient, value = as.numeric(value))
add <- function(case, quantity, value) one[[length(one) + 1]] <<- data.frame(case = case, quantity = quantity, value = as.numeric(value))

# two arms: logistic regression, weights by hand, weighted means with survey's linearised standard errors
two <- d[d$arm != "ocrelizumab", ]; two$z <- as.integer(two$arm == "alemtuzumab")
f2 <- z ~ age + sex + edss_baseline + relapses
g <- glm(f2, binomial, two, control = glm.control(epsilon = 1e-14, maxit = 100)); e <- fitted(g)
for (term in names(coef(g))) { add("two", paste("b", term), coef(g)[term]); add("two", paste("se", term), sqrt(diag(vcov(g)))[term]) }
add("two", "loglik", logLik(g)); each("two", "e", two$patient, e)
own <- ifelse(two$z == 1, e, 1 - e)
hs <- list(ATE = rep(1, nrow(two)), ATT = e, ATO = e * (1 - e), matching = pmin(e, 1 - e))
for (target in names(hs)) {
  w <- hs[[target]] / own; each("two", target, two$patient, w)
  s <- svydesign(ids = ~1, weights = ~w, data = transform(two, w = w))
  for (name in c("fingolimod", "alemtuzumab")) {
    m <- svymean(~ y + age + edss_baseline, subset(s, arm == name))
    for (x in c("y", "age", "edss_baseline")) add("two", paste("mean", target, name, x), coef(m)[x])
    add("two", paste("ess", target, name), sum(w[two$arm == name])^2 / sum(w[two$arm == name]^2))
  }
  add("two", paste("effect", target), coef(svyglm(y ~ z, s))[["z"]])
}

# three arms: multinomial regression, weights by hand
d$a <- factor(d$arm, arms)
m <- multinom(a ~ age + sex + edss_baseline + relapses, d, trace = FALSE, maxit = 2000, reltol = 1e-15, abstol = 1e-15)
E <- fitted(m); add("three", "loglik", logLik(m))
for (k in arms) each("three", paste("e", k), d$patient, E[, k])
own <- E[cbind(seq_len(n), as.integer(d$a))]
for (target in c("ATE", "ATT", "ATO", "matching")) {
  h <- switch(target, ATE = 1, ATT = E[, "ocrelizumab"], ATO = 1 / rowSums(1 / E), matching = apply(E, 1, min))
  each("three", target, d$patient, h / own)
}

# entropy balancing is raking: calibration of equal weights with the exponential distance
for (moments in 1:2) for (name in arms) {
  terms <- if (moments == 1) ~ age + sex + edss_baseline else ~ age + sex + edss_baseline + I(age^2) + I(edss_baseline^2)
  goal <- colMeans(model.matrix(terms, d))
  mine <- d[d$arm == name, ]
  s <- svydesign(ids = ~1, weights = rep(1 / nrow(mine), nrow(mine)), data = mine)
  k <- calibrate(s, terms, goal, calfun = "raking", epsilon = 1e-13, maxit = 500)
  each(paste("raking", moments), "w", mine$patient, weights(k) * nrow(mine))
}

# matching on the logit, from a matrix of distances and with the treated sorted from the largest logit down: given a vector, MatchIt 4.5.1
# searches by another routine, which near the end of the sorted logits passes over a nearer control that is still free (5 of the 82 pairs
# here) and with replacement gives a patient the same control twice (its issue 159)
two <- two[order(-predict(g)), ]; row.names(two) <- two$patient
logit <- predict(glm(f2, binomial, two, control = glm.control(epsilon = 1e-14, maxit = 100)))
D <- abs(outer(logit[two$z == 1], logit[two$z == 0], "-"))
runs <- list(nearest = list(), caliper = list(width = 0.2), exact = list(width = 0.2, exact = ~ sex + centre), ratio = list(width = 0.25, ratio = 3),
             replace = list(width = 0.2, ratio = 2, replace = TRUE))
for (case in names(runs)) {
  options <- runs[[case]]
  if (!is.null(options$width)) options <- c(options, list(caliper = options$width * sd(logit), std.caliper = FALSE))
  options$width <- NULL
  r <- suppressWarnings(do.call(matchit, c(list(f2, data = two, method = "nearest", distance = D, m.order = "data"), options)))
  each(case, "w", two$patient, r$weights)
  mm <- r$match.matrix
  for (i in seq_len(nrow(mm))) for (k in seq_len(ncol(mm))) if (!is.na(mm[i, k])) each(case, paste("pair", rownames(mm)[i]), mm[i, k], 1)
  s <- summary(r, standardize = TRUE)
  for (x in c("age", "edss_baseline", "relapses", "sexM")) {
    add(case, paste("smd before", x), s$sum.all[x, "Std. Mean Diff."]); add(case, paste("smd after", x), s$sum.matched[x, "Std. Mean Diff."])
    if (x != "sexM") { add(case, paste("vr before", x), s$sum.all[x, "Var. Ratio"]); add(case, paste("vr after", x), s$sum.matched[x, "Var. Ratio"]) }
  }
  add(case, "ess control", s$nn["Matched (ESS)", "Control"])
}

write.csv(do.call(rbind, per), "weighting_patientwise.csv", row.names = FALSE)
write.csv(do.call(rbind, one), "weighting_reference.csv", row.names = FALSE)
packages <- c("MatchIt", "survey", "nnet")
write.csv(data.frame(what = c("R", packages), version = c(as.character(getRversion()), sapply(packages, function(p) as.character(packageVersion(p))))),
          "weighting_versions.csv", row.names = FALSE)
