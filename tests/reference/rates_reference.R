# Independent reference for trajectories.endpoints.group_rates: rates of groups, rate ratios, before against after.
# Run in this folder: Rscript rates_reference.R. It writes
#   rates_cases.csv       case, patient, group, years, y             counts of groups
#   rates_paired.csv      case, patient, period, years, y            two windows of the same patients
#   rates_reference.csv   case, fit, quantity, value                 what R answers
#   rates_versions.csv    R and package versions
suppressPackageStartupMessages({library(MASS); library(sandwich)})
set.seed(20260302)

counts <- function(case, n, rate, alpha) {
  group <- rep(names(rate), length.out = n); years <- round(runif(n, 0.2, 2.5), 3)
  data.frame(case = case, patient = seq_len(n), group = group, years = years,
             y = rnbinom(n, size = 1 / alpha, mu = years * rate[group]))
}
cases <- list(
  two_120 = counts("two_120", 120, c(a = 0.6, b = 0.3), 0.9),
  three_45 = counts("three_45", 45, c(a = 1.8, b = 0.9, c = 0.7), 0.5),
  one_30 = counts("one_30", 30, c(a = 1.2), 1.5),
  high_200 = counts("high_200", 200, c(a = 12, b = 9), 0.3)
)
rows <- list()
add <- function(case, fit, quantity, value)
  rows[[length(rows) + 1]] <<- data.frame(case = case, fit = fit, quantity = quantity, value = as.numeric(value))
for (case in names(cases)) {
  d <- cases[[case]]; groups <- sort(unique(d$group))
  tight <- glm.control(epsilon = 1e-14, maxit = 500)
  f <- if (length(groups) > 1) y ~ 0 + group + offset(log(years)) else y ~ 1 + offset(log(years))
  m <- glm.nb(f, data = d, control = tight)
  for (k in seq_along(groups)) {
    add(case, "glm.nb", paste("log rate", groups[k]), coef(m)[[k]])
    add(case, "glm.nb", paste("se", groups[k]), sqrt(diag(vcov(m)))[[k]])
    mine <- d[d$group == groups[k], ]
    p <- poisson.test(sum(mine$y), sum(mine$years))
    add(case, "poisson", paste("lower", groups[k]), p$conf.int[1]); add(case, "poisson", paste("upper", groups[k]), p$conf.int[2])
  }
  add(case, "glm.nb", "dispersion", 1 / m$theta); add(case, "glm.nb", "loglik", logLik(m))
  if (length(groups) > 1) {
    r <- glm.nb(y ~ group + offset(log(years)), data = d, control = tight)
    for (k in 2:length(groups)) {
      add(case, "glm.nb", paste("log ratio", groups[k]), coef(r)[[k]])
      add(case, "glm.nb", paste("se ratio", groups[k]), sqrt(diag(vcov(r)))[[k]])
      a <- d[d$group == groups[k], ]; b <- d[d$group == groups[1], ]
      p <- poisson.test(c(sum(a$y), sum(b$y)), c(sum(a$years), sum(b$years)))
      add(case, "poisson", paste("ratio lower", groups[k]), p$conf.int[1]); add(case, "poisson", paste("ratio upper", groups[k]), p$conf.int[2])
    }
  }
}

paired <- function(case, n, lost) {
  own <- rgamma(n, 2, 2); after <- seq_len(n) > lost[1]; before <- seq_len(n) <= n - lost[2]
  d <- rbind(data.frame(patient = seq_len(n), period = "before", years = round(runif(n, 0.5, 1), 3), own = own * 1.5)[before, ],
             data.frame(patient = seq_len(n), period = "after", years = round(runif(n, 0.3, 3), 3), own = own * 0.5)[after, ])
  data.frame(case = case, d[c("patient", "period", "years")], y = rpois(nrow(d), d$years * d$own))
}
pairs <- list(all_40 = paired("all_40", 40, c(0, 0)), some_lost_25 = paired("some_lost_25", 25, c(3, 4)))
for (case in names(pairs)) {
  d <- pairs[[case]]
  m <- glm(y ~ I(period == "after") + offset(log(years)), family = poisson, data = d, control = glm.control(epsilon = 1e-14, maxit = 100))
  V <- vcovCL(m, cluster = d$patient, type = "HC0", cadjust = TRUE)  # with n/(n - 1)
  add(case, "vcovCL", "log ratio", coef(m)[[2]]); add(case, "vcovCL", "se", sqrt(V[2, 2]))
}
write.csv(do.call(rbind, cases), "rates_cases.csv", row.names = FALSE, quote = FALSE)
write.csv(do.call(rbind, pairs), "rates_paired.csv", row.names = FALSE, quote = FALSE)
write.csv(transform(do.call(rbind, rows), value = format(value, digits = 12)), "rates_reference.csv", row.names = FALSE, quote = FALSE)
write.csv(data.frame(name = c("R", "MASS", "sandwich"), version = c(as.character(getRversion()), sapply(c("MASS", "sandwich"), function(p) as.character(packageVersion(p))))),
          "rates_versions.csv", row.names = FALSE, quote = FALSE)
