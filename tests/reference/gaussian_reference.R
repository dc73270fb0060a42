# Independent reference for trajectories.models.GaussianMixed and trajectories.fitting.mixedlm.
# Run in this folder: Rscript gaussian_reference.R. It writes
#   gaussian_visits.csv     dataset, patient, day, edss, arm, age    simulated visits, EDSS on its 20 levels
#   gaussian_reference.csv  case, quantity, value                    what lme4 and nlme answer
#   gaussian_versions.csv   R and package versions
suppressPackageStartupMessages({ library(lme4); library(nlme) })
set.seed(20240611)

legal <- function(y) { y <- pmin(pmax(round(2 * y) / 2, 0), 10); ifelse(y == 0.5, 1, y) }
simulate <- function(dataset, patients, slope_sd, range = NULL, noise_sd = 0.6) {
  people <- data.frame(patient = seq_len(patients), arm = rep(c("a", "b"), length.out = patients),
                       age = round(rnorm(patients, 38, 9)))
  one <- function(i) {
    day <- sort(sample(seq(-200, 1100, by = 7), sample(4:8, 1))); years <- day / 365.25
    noise <- if (is.null(range)) rnorm(length(day), 0, noise_sd) else {
      R <- exp(-abs(outer(years, years, "-")) / range); as.vector(0.8 * t(chol(R)) %*% rnorm(length(day)))
    }
    level <- 3.5 + 0.04 * (people$age[i] - 38) + rnorm(1, 0, 1.3)
    slope <- 0.15 + 0.2 * (people$arm[i] == "b") + rnorm(1, 0, slope_sd)
    data.frame(dataset = dataset, patient = i, day = day, edss = legal(level + slope * years + noise),
               arm = people$arm[i], age = people$age[i])
  }
  do.call(rbind, lapply(seq_len(patients), one))
}
visits <- rbind(simulate("slopes", 40, 0.5), simulate("singular", 24, 0, noise_sd = 1), simulate("ar1", 40, 0, range = 0.8))
write.csv(visits, "gaussian_visits.csv", row.names = FALSE, quote = FALSE)
visits$years <- visits$day / 365.25

out <- list()
add <- function(case, quantity, value)
  out[[length(out) + 1]] <<- data.frame(case = case, quantity = quantity, value = sprintf("%.15g", as.numeric(value)))
name <- function(term) sub("armb", "arm[b]", sub("(Intercept)", "intercept", term, fixed = TRUE))

tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                     check.conv.singular = "ignore", calc.derivs = FALSE)
with_lme4 <- function(case, formula, dataset, reml) {
  fit <- lmer(formula, visits[visits$dataset == dataset, ], REML = reml, control = tight)
  add(case, "loglik", logLik(fit))
  for (term in names(fixef(fit))) {
    add(case, paste0("estimate ", name(term)), fixef(fit)[term])
    add(case, paste0("se ", name(term)), sqrt(diag(as.matrix(vcov(fit))))[term])
  }
  G <- VarCorr(fit)$patient
  for (i in seq_len(nrow(G))) for (j in seq_len(i))
    add(case, paste("covariance", name(rownames(G)[i]), name(rownames(G)[j])), G[i, j])
  add(case, "residual_sd", sigma(fit))
  add(case, "singular", isSingular(fit))
}
both <- edss ~ arm * years + age + (1 + years | patient)
for (reml in c(FALSE, TRUE)) {
  kind <- if (reml) "reml" else "ml"
  with_lme4(paste0("slopes_", kind), both, "slopes", reml)
  with_lme4(paste0("intercepts_", kind), edss ~ arm * years + (1 | patient), "slopes", reml)
  with_lme4(paste0("singular_", kind), edss ~ years + (1 + years | patient), "singular", reml)
}

# nlme: standard errors of the variance parameters (from intervals on the log and Fisher z scales).
for (reml in c("ML", "REML")) {
  case <- paste0("slopes_nlme_", tolower(reml))
  fit <- lme(edss ~ arm * years + age, random = ~ 1 + years | patient, visits[visits$dataset == "slopes", ], method = reml,
             control = lmeControl(opt = "optim", reltol = 1e-14, msTol = 1e-12, tolerance = 1e-12))
  add(case, "loglik", logLik(fit))
  between <- intervals(fit, which = "var-cov")
  G <- between$reStruct$patient
  width <- 2 * qnorm(0.975)
  add(case, "se log sd(intercept)", log(G[1, "upper"] / G[1, "lower"]) / width)
  add(case, "se log sd(years)", log(G[2, "upper"] / G[2, "lower"]) / width)
  add(case, "se atanh cor", (atanh(G[3, "upper"]) - atanh(G[3, "lower"])) / width)
  add(case, "se log residual_sd", log(between$sigma[["upper"]] / between$sigma[["lower"]]) / width)
}

# nlme: continuous-time AR(1) residuals, for the density (the maximum itself is not used, only the value at it).
fit <- lme(edss ~ arm * years, random = ~ 1 + years | patient, visits[visits$dataset == "ar1", ], method = "ML",
           correlation = corCAR1(form = ~ years | patient))
add("ar1", "loglik", logLik(fit))
for (term in names(fixef(fit))) add("ar1", paste0("estimate ", name(term)), fixef(fit)[term])
G <- getVarCov(fit)
for (i in 1:2) for (j in seq_len(i)) add("ar1", paste("covariance", name(rownames(G)[i]), name(rownames(G)[j])), G[i, j])
add("ar1", "residual_sd", fit$sigma)
add("ar1", "residual_range", -1 / log(coef(fit$modelStruct$corStruct, unconstrained = FALSE)))

write.csv(do.call(rbind, out), "gaussian_reference.csv", row.names = FALSE, quote = FALSE)
versions <- data.frame(name = c("R", "lme4", "nlme"),
                       version = c(as.character(getRversion()), as.character(packageVersion("lme4")), as.character(packageVersion("nlme"))))
write.csv(versions, "gaussian_versions.csv", row.names = FALSE, quote = FALSE)
