# Independent reference for trajectories.maximise with the patient effects integrated out: the simulated cohorts of the
# package, and simulated scans (rates_lesions_scans.csv). Relapses of the 400 have no dispersion beside the patients': a Poisson case.
# Run in this folder, after marginal_cases.py: Rscript marginal_reference.R FOLDER (about 3 minutes). It writes
#   marginal_reference.csv   fit, quantity, value        estimates, standard errors, log-likelihoods
#   marginal_effects.csv     fit, patient, effect, mode, variance    conditional modes and their variances given the estimates
#   marginal_versions.csv    R and package versions
# lme4's log-likelihood with nAGQ > 1 lacks constants and is left out. Variances of glmmTMB's modes are the inverse of its own second
# derivatives in the random effects: ranef() adds the uncertainty of the estimates.
suppressPackageStartupMessages({library(ordinal); library(glmmTMB); library(lme4)})
folder <- commandArgs(TRUE)[1]
rows <- list(); effects <- list()
add <- function(fit, quantity, value) rows[[length(rows) + 1]] <<- data.frame(fit = fit, quantity = quantity, value = as.numeric(value))
add_effects <- function(fit, effect, mode, variance)
  effects[[length(effects) + 1]] <<- data.frame(fit = fit, patient = seq_along(mode) - 1, effect = effect, mode = as.numeric(mode), variance = as.numeric(variance))
term <- function(name) {
  name <- gsub("periodafter", "period[after]", name, fixed = TRUE)
  gsub("arm([a-z]+)", "arm[\\1]", name)
}
add_terms <- function(fit, estimate, se) for (k in names(estimate)) {
  add(fit, term(k), estimate[[k]]); add(fit, paste("se", term(k)), se[[k]])
}
read <- function(name, arms) {
  d <- read.csv(file.path(folder, name))
  d$arm <- factor(d$arm, levels = arms); d$patient <- factor(d$patient, levels = sort(unique(d$patient)))
  if ("period" %in% names(d)) d$period <- factor(d$period, levels = c("before", "after"))
  d
}
three <- c("fingolimod", "ocrelizumab", "alemtuzumab"); one <- "alemtuzumab"

# ordinal::clmm. Its standard errors are from differences of a likelihood whose modes are found to 1e-4: with the tolerances 1e-4, 1e-5, 1e-6
# and 1e-8 that of arm[ocrelizumab] among 80 patients by Laplace is 1.0159, 1.0162, 1.0165 and 1.2277.
edss <- function(fit, data, formula, nAGQ, link = "logit") {
  data$edss <- factor(data$edss, ordered = TRUE)
  f <- clmm(formula, data = data, nAGQ = nAGQ, link = link, control = clmm.control(grtol = 1e-8, innerCtrl = "noWarn"))
  se <- sqrt(diag(vcov(f)))
  add_terms(fit, f$beta, se[names(f$beta)])
  for (k in names(f$alpha)) { add(fit, paste("cutpoint", k), f$alpha[[k]]); add(fit, paste("se cutpoint", k), se[[k]]) }
  V <- VarCorr(f)$patient
  for (k in seq_len(nrow(V))) add(fit, paste0("sd(", if (k == 1) "intercept" else rownames(V)[k], ")"), sqrt(V[k, k]))
  if (nrow(V) == 2) add(fit, "correlation", V[1, 2] / sqrt(V[1, 1] * V[2, 2]))
  add(fit, "loglik", logLik(f)); add(fit, "largest gradient", max(abs(f$gradient)))
  modes <- ranef(f)$patient; variances <- condVar(f)$patient
  for (k in seq_len(ncol(modes))) add_effects(fit, if (k == 1) "intercept" else names(modes)[k], modes[, k], variances[, k])
  cat(fit, format(logLik(f), digits = 10), max(abs(f$gradient)), "\n")
}
d35 <- read("edss_35.csv", one); d400 <- read("edss_400.csv", three)
edss("clmm 35 nAGQ 7", d35, edss ~ years + (1 | patient), 7)
edss("clmm 35 Laplace", d35, edss ~ years + (1 | patient), 1)
edss("clmm 35 probit nAGQ 7", d35, edss ~ years + (1 | patient), 7, "probit")
edss("clmm 35 slope Laplace", d35, edss ~ years + (1 + years | patient), 1)
edss("clmm 35 slope probit Laplace", d35, edss ~ years + (1 + years | patient), 1, "probit")

# glmmTMB, by Laplace's approximation
relapses <- function(fit, data, formula, family, dispformula = ~ 1) {
  f <- glmmTMB(formula, family = family, data = data, dispformula = dispformula, control = glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14)))
  all <- f$fit$par; V <- sqrt(diag(vcov(f, full = TRUE))); k <- length(fixef(f)$cond)
  add_terms(fit, setNames(fixef(f)$cond, sub("(Intercept)", "intercept", names(fixef(f)$cond), fixed = TRUE)), setNames(V[seq_len(k)], sub("(Intercept)", "intercept", names(fixef(f)$cond), fixed = TRUE)))
  log_sd <- all[names(all) == "theta"]; add(fit, "sd(intercept)", exp(log_sd)); add(fit, "se sd(intercept)", exp(log_sd) * V[length(V)])
  d <- all[names(all) == "betad"]
  if (family == "nbinom2") for (j in seq_along(d)) {
    label <- if (length(d) == 1) "dispersion" else paste0("dispersion(", levels(data$arm)[j], ")")
    add(fit, label, exp(-d[j])); add(fit, paste("se", label), exp(-d[j]) * V[k + j])
  }
  add(fit, "loglik", logLik(f))
  H <- f$obj$env$spHess(f$obj$env$last.par.best, random = TRUE)
  add_effects(fit, "intercept", ranef(f)$cond$patient[, 1], diag(solve(as.matrix(H))))
  cat(fit, format(logLik(f), digits = 10), "\n")
}
r400 <- read("relapses_400.csv", three); r35 <- read("relapses_35.csv", one)
scans <- read.csv("rates_lesions_scans.csv"); scans <- scans[!is.na(scans$gd_count), ]
scans$years <- scans$day / 365.25; scans$arm <- factor(scans$arm, levels = c("old", "new"))
scans$patient <- factor(scans$patient, levels = unique(scans$patient))
relapses("glmmTMB scans nbinom2", scans, gd_count ~ arm + years + (1 | patient), "nbinom2")
relapses("glmmTMB scans nbinom2 by arm", scans, gd_count ~ arm + years + (1 | patient), "nbinom2", ~ 0 + arm)
relapses("glmmTMB 400 poisson", r400, relapses ~ arm * period + offset(log(exposure)) + (1 | patient), "poisson")
relapses("glmmTMB 35 poisson", r35, relapses ~ period + offset(log(exposure)) + (1 | patient), "poisson")

# lme4::glmer, with quadrature
f <- glmer(relapses ~ arm * period + offset(log(exposure)) + (1 | patient), family = poisson, data = r400, nAGQ = 7,
           control = glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5)))
b <- fixef(f); names(b) <- sub("(Intercept)", "intercept", names(b), fixed = TRUE)
add_terms("glmer 400 nAGQ 7", b, setNames(sqrt(diag(as.matrix(vcov(f)))), names(b)))
add("glmer 400 nAGQ 7", "sd(intercept)", getME(f, "theta"))
r <- ranef(f, condVar = TRUE)$patient
add_effects("glmer 400 nAGQ 7", "intercept", r[, 1], attr(r, "postVar")[1, 1, ])

d80 <- droplevels(d400[as.integer(as.character(d400$patient)) %% 5 == 0, ])
edss("clmm 80 nAGQ 7", d80, edss ~ arm * years + (1 | patient), 7)
edss("clmm 80 Laplace", d80, edss ~ arm * years + (1 | patient), 1)

write.csv(transform(do.call(rbind, rows), value = format(value, digits = 10)), "marginal_reference.csv", row.names = FALSE, quote = FALSE)
write.csv(transform(do.call(rbind, effects), mode = signif(mode, 8), variance = signif(variance, 8)), "marginal_effects.csv", row.names = FALSE, quote = FALSE)
versions <- data.frame(name = c("R", "ordinal", "glmmTMB", "TMB", "lme4"),
                       version = c(as.character(getRversion()), sapply(c("ordinal", "glmmTMB", "TMB", "lme4"), function(p) as.character(packageVersion(p)))))
write.csv(versions, "marginal_versions.csv", row.names = FALSE, quote = FALSE)
