# Independent reference for trajectories.fitting.counts: independent counts with exposure.
# Run in this folder: Rscript counts_reference.R. It writes
#   counts_cases.csv       case, arm, x, years, y       the counts handed to both sides
#   counts_reference.csv   case, fit, quantity, value   what R answers
#   counts_versions.csv    R and package versions
# MASS::glm.nb has standard errors from the expected information, glmmTMB from the observed one, and a dispersion by arm.
suppressPackageStartupMessages({library(MASS); library(glmmTMB)})
set.seed(20260301)

counts <- function(case, n, arms, alpha, rate, effect = 0.02) {
  arm <- rep(arms, length.out = n); x <- round(rnorm(n, 40, 10)); years <- round(runif(n, 0.3, 3), 3)
  mu <- years * rate[arm] * exp(effect * (x - 40)); a <- rep_len(alpha, length(arms))[match(arm, arms)]
  data.frame(case = case, arm = arm, x = x, years = years, y = rnbinom(n, size = 1 / a, mu = mu))
}
cases <- list(
  two_arms_200 = counts("two_arms_200", 200, c("a", "b"), 0.9, c(a = 0.6, b = 0.3)),
  small_35 = counts("small_35", 35, "a", 0.6, c(a = 1.5)),
  three_arms_300 = counts("three_arms_300", 300, c("a", "b", "c"), c(0.4, 1, 2), c(a = 1, b = 0.5, c = 0.4)),
  many_600 = counts("many_600", 600, c("a", "b"), 0.3, c(a = 4, b = 8))
)

rows <- list()
add <- function(case, fit, quantity, value)
  rows[[length(rows) + 1]] <<- data.frame(case = case, fit = fit, quantity = quantity, value = as.numeric(value))
add_coefficients <- function(case, fit, estimate, se) {
  names(estimate) <- names(se) <- c("intercept", if (length(estimate) > 2) paste0("arm[", sub("arm", "", names(estimate)[2:(length(estimate) - 1)]), "]"), "x")
  for (k in names(estimate)) { add(case, fit, k, estimate[[k]]); add(case, fit, paste0("se ", k), se[[k]]) }
}
for (case in names(cases)) {
  d <- cases[[case]]
  formula <- if (length(unique(d$arm)) > 1) y ~ arm + x + offset(log(years)) else y ~ x + offset(log(years))
  p <- glm(formula, family = poisson, data = d, control = glm.control(epsilon = 1e-14, maxit = 100))
  add_coefficients(case, "poisson", coef(p), sqrt(diag(vcov(p)))); add(case, "poisson", "loglik", logLik(p))
  # glm.nb stops early by default; more rounds from its own answer
  m <- glm.nb(formula, data = d, control = glm.control(epsilon = 1e-14, maxit = 200))
  add_coefficients(case, "glm.nb", coef(m), sqrt(diag(vcov(m)))); add(case, "glm.nb", "loglik", logLik(m))
  add(case, "glm.nb", "dispersion", 1 / m$theta)
  tight <- glmmTMBControl(optCtrl = list(iter.max = 1000, eval.max = 1000))
  tmb <- function(fit, dispersion) {
    g <- glmmTMB(formula, dispformula = dispersion, family = nbinom2, data = d, control = tight)
    V <- vcov(g, full = TRUE); k <- length(fixef(g)$cond)
    add_coefficients(case, fit, fixef(g)$cond, sqrt(diag(V))[1:k]); add(case, fit, "loglik", logLik(g))
    beta <- g$fit$par[names(g$fit$par) == "betad"]; se <- sqrt(diag(V))[-(1:k)]
    labels <- if (length(beta) > 1) paste0("dispersion(", sort(unique(d$arm)), ")") else "dispersion"
    for (j in seq_along(beta)) { add(case, fit, labels[j], exp(-beta[j])); add(case, fit, paste("se", labels[j]), exp(-beta[j]) * se[j]) }
  }
  tmb("glmmTMB", ~ 1)
  if (length(unique(d$arm)) > 1) tmb("glmmTMB by arm", ~ 0 + arm)
}
write.csv(do.call(rbind, cases), "counts_cases.csv", row.names = FALSE, quote = FALSE)
write.csv(transform(do.call(rbind, rows), value = format(value, digits = 12)), "counts_reference.csv", row.names = FALSE, quote = FALSE)
versions <- data.frame(name = c("R", "MASS", "glmmTMB", "TMB"),
                       version = c(as.character(getRversion()), sapply(c("MASS", "glmmTMB", "TMB"), function(p) as.character(packageVersion(p)))))
write.csv(versions, "counts_versions.csv", row.names = FALSE, quote = FALSE)
