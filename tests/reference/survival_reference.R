# Independent reference for trajectories.endpoints.survival_* and interval_censored.
# Run in this folder: Rscript survival_reference.R. It writes
#   survival_cases.csv       case, patient, arm, age, centre, time, cause, onset_after, onset_by    handed to both sides
#   survival_reference.csv   case, analysis, quantity, value                                       what R answers
#   survival_versions.csv    R and package versions
# cause: 0 censored, 1 the event, 2 a competing event. Visits are on a grid of 84 days, so that times are tied; in the case
# "untied" they are not.
suppressPackageStartupMessages({library(survival); library(cmprsk)})
set.seed(20260302)

times <- function(case, n, arms, hazard, grid = 84, years = c(1, 4), rival = 0.08, shape = 1.3) {
  arm <- rep(arms, length.out = n); age <- round(rnorm(n, 40, 10)); centre <- sample(paste0("c", 1:8), n, TRUE)
  onset <- rweibull(n, shape, 1 / (hazard[arm] * exp(0.02 * (age - 40)))) * 365.25
  other <- rexp(n, rival) * 365.25
  end <- floor(runif(n, years[1], years[2]) * 365.25 / grid) * grid
  by <- ceiling(onset / grid) * grid
  if (grid == 1) { other <- other + 0.5 } else other <- ceiling(other / grid) * grid
  cause <- ifelse(by <= pmin(other, end), 1, ifelse(other <= end, 2, 0))
  day <- pmin(by, other, end); width <- if (grid == 1) 90 else grid
  data.frame(case = case, patient = sprintf("p%03d", 1:n), arm = arm, age = age, centre = centre, time = day / 365.25, cause = cause,
             onset_after = ifelse(cause == 1, pmax(day - width, 0), day) / 365.25, onset_by = ifelse(cause == 1, day / 365.25, Inf))
}
cases <- list(
  two_arms = times("two_arms", 150, c("a", "b"), c(a = 0.35, b = 0.2)),
  three_arms = times("three_arms", 240, c("a", "b", "c"), c(a = 0.5, b = 0.3, c = 0.15)),
  untied = times("untied", 90, c("a", "b"), c(a = 0.5, b = 0.4), grid = 1),
  small = times("small", 24, c("a", "b"), c(a = 0.9, b = 0.5)),
  all_events = times("all_events", 40, c("a", "b"), c(a = 1.5, b = 1.2), years = c(30, 31), rival = 0.001)
)
rows <- list()
add <- function(case, analysis, quantity, value)
  rows[[length(rows) + 1]] <<- data.frame(case = case, analysis = analysis, quantity = quantity, value = as.numeric(value))
term <- function(names) sub("^arm(.)$", "arm[\\1]", names)

for (case in names(cases)) {
  d <- cases[[case]]; d$event <- as.integer(d$cause == 1); d$state <- factor(d$cause, 0:2, c("censored", "event", "rival"))
  f <- survfit(Surv(time, event) ~ arm, d, conf.type = "log-log"); label <- rep(sub("arm=", "", names(f$strata)), f$strata)
  for (part in c("time", "n.risk", "n.event", "n.censor", "surv", "lower", "upper"))
    add(case, "survfit", paste(part, label, ave(seq_along(label), label, FUN = seq_along)), f[[part]])
  s <- summary(f)$table
  for (part in c("records", "events", "median", "0.95LCL", "0.95UCL")) add(case, "survfit table", paste(part, sub("arm=", "", rownames(s))), s[, part])
  until <- floor(10 * min(tapply(d$time, d$arm, max))) / 10; s <- summary(f, rmean = until)$table
  add(case, "rmean", "until", until); for (part in c("rmean", "se(rmean)")) add(case, "rmean", paste(part, sub("arm=", "", rownames(s))), s[, part])

  for (strata in c(FALSE, TRUE)) {
    l <- if (strata) survdiff(Surv(time, event) ~ arm + strata(centre), d) else survdiff(Surv(time, event) ~ arm, d)
    name <- if (strata) "survdiff by centre" else "survdiff"
    add(case, name, "chi2", l$chisq); add(case, name, "p", pchisq(l$chisq, length(l$n) - 1, lower.tail = FALSE))
    add(case, name, paste("expected", sort(unique(d$arm))), if (strata) rowSums(l$exp) else l$exp)
  }
  control <- coxph.control(eps = 1e-13, toler.chol = 1e-14, iter.max = 100)
  for (ties in c("efron", "breslow")) for (cluster in c("patient", "centre", "none", "strata")) {
    name <- paste("coxph", ties, cluster)
    m <- switch(cluster,
      patient = coxph(Surv(time, event) ~ arm + age, d, ties = ties, cluster = patient, control = control),
      centre = coxph(Surv(time, event) ~ arm + age, d, ties = ties, cluster = centre, control = control),
      none = coxph(Surv(time, event) ~ arm + age, d, ties = ties, control = control),
      strata = coxph(Surv(time, event) ~ arm + age + strata(centre), d, ties = ties, cluster = patient, control = control))
    add(case, name, term(names(coef(m))), coef(m)); add(case, name, paste("se", term(names(coef(m)))), sqrt(diag(vcov(m))))
    add(case, name, c("null", "loglik"), m$loglik)
    z <- cox.zph(m)$table
    add(case, name, paste("zph", rownames(z)), z[, "chisq"]); add(case, name, paste("zph p", rownames(z)), z[, "p"])
  }
  w <- survreg(Surv(ifelse(onset_after == 0, NA, onset_after), ifelse(is.finite(onset_by), onset_by, NA), type = "interval2") ~ arm + age, d,
               dist = "weibull", control = survreg.control(rel.tolerance = 1e-15, maxiter = 500))
  names <- c("intercept", term(names(coef(w))[-1]), "log(scale)")
  add(case, "survreg", names, c(coef(w), log(w$scale))); add(case, "survreg", paste("se", names), sqrt(diag(vcov(w)))); add(case, "survreg", "loglik", w$loglik[2])

  for (arm in sort(unique(d$arm))) {
    m <- survfit(Surv(time, state) ~ 1, d[d$arm == arm, ], conf.type = "log-log"); add(case, "survfit multi-state", paste("time", arm, seq_along(m$time)), m$time)
    for (k in 1:2) {
      add(case, "survfit multi-state", paste(c("event", "rival")[k], arm, seq_along(m$time)), m$pstate[, k + 1])
      for (part in c("lower", "upper")) add(case, "survfit multi-state", paste(part, c("event", "rival")[k], arm, seq_along(m$time)), m[[part]][, k + 1])
      add(case, "survfit multi-state", paste("se", c("event", "rival")[k], arm, seq_along(m$time)), m$std.err[, k + 1])
    }
    g <- timepoints(cuminc(d$time[d$arm == arm], d$cause[d$arm == arm]), m$time)
    # cmprsk's variance is Aalen's, another estimator than the one here: only its estimates are taken
    for (k in 1:2) if (paste("1", k) %in% rownames(g$est)) add(case, "cuminc", paste(c("event", "rival")[k], arm, seq_along(m$time)), g$est[paste("1", k), ])
  }
}
# an arm without any event: upper limit by profile likelihood, p by likelihood ratio
d <- cases$two_arms; d$event <- as.integer(d$cause == 1 & d$arm == "a"); d$b <- as.integer(d$arm == "b")
control <- coxph.control(eps = 1e-13, toler.chol = 1e-14, iter.max = 100)
best <- coxph(Surv(time, event) ~ age, d[d$arm == "a", ], control = control)$loglik[2]
drop <- function(shift) 2 * (best - coxph(Surv(time, event) ~ age + offset(shift * b), transform(d, shift = shift), control = control)$loglik[2])
add("no_event", "profile", "upper", exp(uniroot(function(x) drop(x) - qchisq(0.95, 1), c(-15, 3), tol = 1e-13)$root))
add("no_event", "profile", "p", pchisq(drop(0), 1, lower.tail = FALSE))

digits <- function(x) format(x, digits = 15, trim = TRUE)
all <- do.call(rbind, cases)
for (column in c("time", "onset_after", "onset_by")) all[[column]] <- sapply(all[[column]], function(x) format(x, digits = 17))
write.csv(all, "survival_cases.csv", row.names = FALSE, quote = FALSE)
result <- do.call(rbind, rows); result$value <- sapply(result$value, digits)
write.csv(result, "survival_reference.csv", row.names = FALSE, quote = FALSE)
write.csv(data.frame(name = c("R", "survival", "cmprsk"), version = c(as.character(getRversion()), sapply(c("survival", "cmprsk"), function(p) as.character(packageVersion(p))))),
          "survival_versions.csv", row.names = FALSE, quote = FALSE)
