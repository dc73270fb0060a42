# Independent reference for trajectories.maximise of models.BinaryMixed: whether EDSS is 4 or more, in the simulated cohorts of the package.
# Run in this folder, after binary_cases.py: Rscript binary_reference.R FOLDER (about 2 minutes). It writes
#   binary_reference.csv   fit, quantity, value        estimates, standard errors, log-likelihoods
#   binary_versions.csv    R and package versions
# lme4's log-likelihood with nAGQ > 1 lacks constants and is left out; that of ordinal::clmm does not. clmm has a cutpoint, minus the intercept.
# glmer's standard errors are from differences of the deviance.
suppressPackageStartupMessages({library(ordinal); library(lme4)})
folder <- commandArgs(TRUE)[1]
rows <- list()
add <- function(fit, quantity, value) rows[[length(rows) + 1]] <<- data.frame(fit = fit, quantity = quantity, value = as.numeric(value))
term <- function(name) gsub("arm([a-z]+)", "arm[\\1]", sub("(Intercept)", "intercept", name, fixed = TRUE))
read <- function(name, arms) {
  d <- read.csv(file.path(folder, name))
  d$arm <- factor(d$arm, levels = arms); d$patient <- factor(d$patient)
  d
}
add_sd <- function(fit, V) {
  for (k in seq_len(nrow(V))) add(fit, paste0("sd(", if (k == 1) "intercept" else rownames(V)[k], ")"), sqrt(V[k, k]))
  if (nrow(V) == 2) add(fit, "correlation", V[1, 2] / sqrt(V[1, 1] * V[2, 2]))
}
by_glmer <- function(fit, data, formula, nAGQ, link = "logit") {
  f <- glmer(formula, data = data, family = binomial(link), nAGQ = nAGQ,
             control = glmerControl(optimizer = "bobyqa", tolPwrss = 1e-12, optCtrl = list(rhoend = 1e-9, maxfun = 1e5)))
  se <- sqrt(diag(as.matrix(vcov(f)))); b <- fixef(f)
  for (k in names(b)) { add(fit, term(k), b[[k]]); add(fit, paste("se", term(k)), se[[k]]) }
  add_sd(fit, VarCorr(f)$patient)
  if (nAGQ == 1) add(fit, "loglik", logLik(f))
  cat(fit, format(logLik(f), digits = 10), "\n")
}
by_clmm <- function(fit, data, formula, nAGQ, link = "logit") {
  data$edss <- factor(data$edss, ordered = TRUE)
  f <- clmm(formula, data = data, nAGQ = nAGQ, link = link, control = clmm.control(grtol = 1e-8, innerCtrl = "noWarn"))
  se <- sqrt(diag(vcov(f)))
  for (k in names(f$beta)) { add(fit, term(k), f$beta[[k]]); add(fit, paste("se", term(k)), se[[k]]) }
  add(fit, "intercept", -f$alpha[[1]]); add(fit, "se intercept", se[[1]])
  add_sd(fit, VarCorr(f)$patient)
  add(fit, "loglik", logLik(f))
  cat(fit, format(logLik(f), digits = 10), max(abs(f$gradient)), "\n")
}
d35 <- read("binary_35.csv", "alemtuzumab"); d400 <- read("binary_400.csv", c("fingolimod", "ocrelizumab", "alemtuzumab"))
one <- edss ~ arm * years + (1 | patient); two <- edss ~ arm * years + (1 + years | patient); alone <- edss ~ years + (1 | patient)
by_glmer("glmer 400 Laplace", d400, one, 1)
by_glmer("glmer 400 nAGQ 7", d400, one, 7)
by_glmer("glmer 400 nAGQ 25", d400, one, 25)
by_glmer("glmer 400 probit nAGQ 25", d400, one, 25, "probit")
by_glmer("glmer 400 slope Laplace", d400, two, 1)
by_glmer("glmer 35 Laplace", d35, alone, 1)
by_clmm("clmm 400 nAGQ 7", d400, one, 7)
by_clmm("clmm 35 nAGQ 7", d35, alone, 7)
by_clmm("clmm 35 probit nAGQ 7", d35, alone, 7, "probit")

write.csv(transform(do.call(rbind, rows), value = format(value, digits = 10)), "binary_reference.csv", row.names = FALSE, quote = FALSE)
versions <- data.frame(name = c("R", "ordinal", "lme4"),
                       version = c(as.character(getRversion()), sapply(c("ordinal", "lme4"), function(p) as.character(packageVersion(p)))))
write.csv(versions, "binary_versions.csv", row.names = FALSE, quote = FALSE)
