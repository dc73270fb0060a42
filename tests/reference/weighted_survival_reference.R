# Independent reference for weighted times to an event (trajectories.endpoints.survival_*, interval_censored).
# Run in this folder: Rscript weighted_survival_reference.R. It reads survival_cases.csv, and writes
#   weighted_survival_weights.csv     case, patient, weight            handed to both sides
#   weighted_survival_reference.csv   case, analysis, quantity, value  what R answers
#   weighted_survival_versions.csv    R and package versions
suppressPackageStartupMessages(library(survival))
set.seed(20261123)
cases <- read.csv("survival_cases.csv")
rows <- list(); weights <- list()
add <- function(case, analysis, quantity, value)
  rows[[length(rows) + 1]] <<- data.frame(case = case, analysis = analysis, quantity = quantity, value = as.numeric(value))
for (case in c("two_arms", "three_arms", "untied", "small")) {
  d <- cases[cases$case == case, ]; d$event <- as.integer(d$cause == 1)
  d$w <- round(rgamma(nrow(d), 2, 2), 6) + 0.05
  weights[[case]] <- data.frame(case = case, patient = d$patient, weight = d$w)
  for (ties in c("efron", "breslow")) for (by in c("patient", "centre")) {
    d$group <- d[[by]]
    m <- coxph(Surv(time, event) ~ arm + age, d, weights = w, ties = ties, cluster = group, control = coxph.control(eps = 1e-13, iter.max = 100))
    name <- paste("coxph", ties, by)
    add(case, name, names(coef(m)), coef(m)); add(case, name, paste("se", names(coef(m))), sqrt(diag(vcov(m)))); add(case, name, "loglik", m$loglik[2])
  }
  f <- survfit(Surv(time, event) ~ arm, d, weights = w, id = patient, robust = TRUE)
  label <- rep(sub("arm=", "", names(f$strata)), f$strata)
  for (part in c("time", "surv", "std.err")) add(case, "survfit", paste(part, label, ave(seq_along(label), label, FUN = seq_along)), f[[part]])
  until <- floor(10 * min(tapply(d$time, d$arm, max))) / 10
  add(case, "rmean", "until", until)
  for (arm in sort(unique(d$arm))) {
    mine <- d[d$arm == arm, ]; one <- survfit(Surv(time, event) ~ 1, mine, weights = w)
    add(case, "rmean", paste("rmean", arm), summary(one, rmean = until)$table["rmean"])
    add(case, "rmean", paste("se", arm), sqrt(sum((mine$w * residuals(one, times = until, type = "auc"))^2)))
  }
  # the robust score test of Cox's model; ties by Breslow make it the log-rank test's O - E
  for (strata in c(FALSE, TRUE)) {
    formula <- if (strata) Surv(time, event) ~ arm + strata(centre) else Surv(time, event) ~ arm
    add(case, if (strata) "rscore by centre" else "rscore", "chi2", coxph(formula, d, weights = w, ties = "breslow", cluster = patient)$rscore)
  }
  # survreg's robust = TRUE leaves the weights out of the residuals (version 3.5-3), so the infinitesimal jackknife is done by
  # refitting with each weight a little larger and smaller
  weibull <- function(weights) {
    d$w <- weights
    survreg(Surv(ifelse(onset_after == 0, NA, onset_after), ifelse(is.finite(onset_by), onset_by, NA), type = "interval2") ~ arm + age, d,
            weights = w, dist = "weibull", control = survreg.control(rel.tolerance = 1e-15, maxiter = 500))
  }
  found <- function(w) { m <- weibull(w); c(coef(m), log(m$scale)) }
  moved <- sapply(seq_len(nrow(d)), function(i) { step <- 1e-3 * (seq_len(nrow(d)) == i); (found(d$w + step) - found(d$w - step)) / 2e-3 })
  m <- weibull(d$w)
  names <- c("intercept", sub("^arm(.)$", "arm[\\1]", names(coef(m))[-1]), "log(scale)")
  add(case, "survreg", names, c(coef(m), log(m$scale))); add(case, "survreg", "loglik", m$loglik[2])
  add(case, "survreg", paste("se", names), sqrt(rowSums((moved * rep(d$w, each = nrow(moved)))^2)))
  d$state <- factor(d$cause, 0:2, c("censored", "event", "rival"))
  for (arm in sort(unique(d$arm))) {
    m <- survfit(Surv(time, state) ~ 1, d[d$arm == arm, ], weights = w, id = patient)
    for (k in 1:2) {
      add(case, "survfit multi-state", paste(c("event", "rival")[k], arm, seq_along(m$time)), m$pstate[, k + 1])
      add(case, "survfit multi-state", paste("se", c("event", "rival")[k], arm, seq_along(m$time)), m$std.err[, k + 1])
    }
  }
}
write.csv(do.call(rbind, weights), "weighted_survival_weights.csv", row.names = FALSE)
out <- do.call(rbind, rows); out$value <- formatC(out$value, digits = 15, format = "g")
write.csv(out, "weighted_survival_reference.csv", row.names = FALSE, quote = FALSE)
write.csv(data.frame(package = c("R", "survival"), version = c(paste(R.version$major, R.version$minor, sep = "."), as.character(packageVersion("survival")))),
          "weighted_survival_versions.csv", row.names = FALSE)
