# Independent reference for models.LesionCounts: simulated scans, glmmTMB's mixed model, and the likelihood by R's integrate().
# Run in this folder: Rscript rates_lesions.R. It writes
#   rates_lesions_scans.csv      patient, arm, day, gd_count, new_t2 (empty at a patient's first scan)
#   rates_lesions.csv            outcome, quantity, value
#   rates_lesions_versions.csv   R and package versions
# Truth of gd_count: exp(0.3 - 0.8 new - 0.5 years + u), u ~ N(0, 0.9²), theta 1.25 (dispersion 0.8); of new_t2 a year:
# exp(1.0 - 0.6 new - 0.4 years + u), years at the middle between two scans.
suppressPackageStartupMessages(library(glmmTMB))
set.seed(20260303)
n <- 120; u <- rnorm(n, 0, 0.9); arm <- rep(c("old", "new"), n / 2)
scans <- do.call(rbind, lapply(seq_len(n), function(i) {
  day <- pmax(0, round(c(0, 182, 365, 730) + c(0, rnorm(3, 0, 12)))); day <- day[c(TRUE, runif(3) > 0.1)]
  years <- day / 365.25; gap <- c(NA, diff(years)); middle <- years - gap / 2
  data.frame(patient = i, arm = arm[i], day = day,
             gd_count = rnbinom(length(day), size = 1.25, mu = exp(0.3 - 0.8 * (arm[i] == "new") - 0.5 * years + u[i])),
             new_t2 = suppressWarnings(rnbinom(length(day), size = 1.25, mu = gap * exp(1 - 0.6 * (arm[i] == "new") - 0.4 * middle + u[i]))))
}))
scans$years <- scans$day / 365.25
since <- ave(scans$day, scans$patient, FUN = function(d) c(NA, head(d, -1)))
scans$exposure <- (scans$day - since) / 365.25; scans$middle <- (scans$day + since) / 2 / 365.25
scans$arm <- factor(scans$arm, levels = c("old", "new"))

rows <- list()
add <- function(outcome, quantity, value) rows[[length(rows) + 1]] <<- data.frame(outcome, quantity, value = as.numeric(value))
fit <- function(outcome, d, offset) {
  d$offset <- offset
  d$y <- d[[outcome]]
  m <- glmmTMB(y ~ arm + years + offset(offset) + (1 | patient), family = nbinom2, data = d,
               control = glmmTMBControl(optCtrl = list(iter.max = 2000, eval.max = 2000)))
  b <- fixef(m)$cond; se <- sqrt(diag(vcov(m)$cond)); sd <- sqrt(VarCorr(m)$cond$patient[1, 1]); theta <- sigma(m)
  names <- c("intercept", "arm[new]", "years")
  for (k in 1:3) { add(outcome, names[k], b[[k]]); add(outcome, paste("se", names[k]), se[[k]]) }
  add(outcome, "patient_sd", sd); add(outcome, "dispersion", 1 / theta); add(outcome, "laplace loglik", logLik(m))
  eta <- d$offset + b[[1]] + b[[2]] * (d$arm == "new") + b[[3]] * d$years
  exact <- sum(sapply(split(seq_len(nrow(d)), d$patient), function(i) {
    f <- Vectorize(function(v) exp(sum(dnbinom(d$y[i], size = theta, mu = exp(eta[i] + sd * v), log = TRUE)) + dnorm(v, log = TRUE)))
    log(integrate(f, -8, 8, rel.tol = 1e-10, subdivisions = 1000)$value)
  }))
  add(outcome, "loglik", exact)
}
fit("gd_count", scans, 0)
t2 <- scans[!is.na(scans$new_t2), ]; t2$years <- t2$middle
fit("new_t2", t2, log(t2$exposure))
write.csv(scans[c("patient", "arm", "day", "gd_count", "new_t2")], "rates_lesions_scans.csv", row.names = FALSE, quote = FALSE, na = "")
write.csv(transform(do.call(rbind, rows), value = format(value, digits = 12)), "rates_lesions.csv", row.names = FALSE, quote = FALSE)
write.csv(data.frame(name = c("R", "glmmTMB", "TMB"), version = c(as.character(getRversion()), sapply(c("glmmTMB", "TMB"), function(p) as.character(packageVersion(p))))),
          "rates_lesions_versions.csv", row.names = FALSE, quote = FALSE)
