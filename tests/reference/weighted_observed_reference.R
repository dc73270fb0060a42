# Independent reference for weighted shares and rates (trajectories.endpoints.neda_weighted, weighted_rates): survey and survival.
# Run in this folder: Rscript weighted_observed_reference.R. It writes
#   weighted_observed_cases.csv       patient, arm, neda, years, events, before, years_before, observed, active, weight    handed to both sides
#   weighted_observed_reference.csv   analysis, quantity, value                                                            what R answers
#   weighted_observed_versions.csv    R and package versions
# neda: 1, 0, or empty where not evaluable. Standard errors of survey have the factor n/(n - 1), n the patients of all arms.
suppressPackageStartupMessages({library(survey); library(survival)})
set.seed(20261124)
n <- 150; arm <- rep(c("a", "b", "c"), length.out = n); frailty <- rgamma(n, 1.5, 1.5)
d <- data.frame(patient = sprintf("p%03d", 1:n), arm = arm, years = round(runif(n, 0.4, 2), 4))
d$events <- rpois(n, frailty * d$years * c(a = 0.8, b = 0.5, c = 0.3)[arm])
d$years_before <- round(runif(n, 0.5, 1), 4); d$before <- rpois(n, 1.4 * frailty * d$years_before)
d$years[c(7, 60)] <- 0; d$events[c(7, 60)] <- 0
d$neda <- ifelse(runif(n) < 0.15, NA, as.integer(runif(n) < c(a = 0.3, b = 0.45, c = 0.6)[arm]))
onset <- rexp(n, c(a = 0.6, b = 0.4, c = 0.25)[arm]); seen <- ifelse(runif(n) < 0.3, round(runif(n, 0.2, 2), 1), 2)
d$observed <- pmax(round(pmin(onset, seen), 1), 0.1); d$active <- as.integer(onset <= seen)
d$weight <- round(rgamma(n, 2, 2), 6) + 0.05
rows <- list()
add <- function(analysis, quantity, value) rows[[length(rows) + 1]] <<- data.frame(analysis = analysis, quantity = quantity, value = as.numeric(value))

design <- svydesign(ids = ~1, weights = ~weight, data = d)
evaluable <- subset(design, !is.na(neda))
shares <- svyby(~neda, ~arm, evaluable, svymean, covmat = TRUE)
add("svymean", shares$arm, coef(shares)); add("svymean", paste("se", shares$arm), SE(shares))
for (other in c("b", "c")) {
  apart <- svycontrast(shares, setNames(c(-1, 1), c("a", other)))
  add("svymean", paste("difference", other), coef(apart)); add("svymean", paste("se difference", other), SE(apart))
}
d$lowest <- as.integer(!is.na(d$neda) & d$neda == 1); d$highest <- as.integer(is.na(d$neda) | d$neda == 1)
design <- svydesign(ids = ~1, weights = ~weight, data = d)
for (bound in c("lowest", "highest")) { m <- svyby(as.formula(paste("~", bound)), ~arm, design, svymean); add("svymean", paste(bound, m$arm), coef(m)) }
for (one in c("a", "b", "c")) {
  f <- survfit(Surv(observed, active) ~ 1, d[d$arm == one, ], weights = weight, id = patient, robust = TRUE)
  add("survfit", one, tail(f$surv, 1)); add("survfit", paste("se", one), tail(f$std.err, 1))
}
rates <- svyby(~events, ~arm, denominator = ~years, design, svyratio)
add("svyratio", rates$arm, coef(rates)); add("svyratio", paste("se", rates$arm), SE(rates))
m <- svyglm(events ~ arm + offset(log(years)), subset(design, years > 0), family = quasipoisson(), control = list(epsilon = 1e-14))
add("svyglm", names(coef(m)), coef(m)); add("svyglm", paste("se", names(coef(m))), SE(m))
# before and after in the same patients: two rows a patient, clustered
long <- rbind(data.frame(d[, c("patient", "arm", "weight")], y = d$before, t = d$years_before, after = 0), data.frame(d[, c("patient", "arm", "weight")], y = d$events, t = d$years, after = 1))
for (one in c("a", "b", "c")) {
  both <- svydesign(ids = ~patient, weights = ~weight, data = long[long$arm == one, ])
  m <- svyglm(y ~ after + offset(log(t)), subset(both, t > 0), family = quasipoisson(), control = list(epsilon = 1e-14))
  add("change", one, coef(m)["after"]); add("change", paste("se", one), SE(m)["after"])
}
write.csv(d[, c("patient", "arm", "neda", "years", "events", "before", "years_before", "observed", "active", "weight")], "weighted_observed_cases.csv", row.names = FALSE, quote = FALSE, na = "")
out <- do.call(rbind, rows); out$value <- sapply(out$value, function(x) format(x, digits = 15))
write.csv(out, "weighted_observed_reference.csv", row.names = FALSE, quote = FALSE)
write.csv(data.frame(package = c("R", "survey", "survival"), version = c(as.character(getRversion()), sapply(c("survey", "survival"), function(p) as.character(packageVersion(p))))),
          "weighted_observed_versions.csv", row.names = FALSE, quote = FALSE)
