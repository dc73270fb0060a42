# Independent reference for trajectories.rank_tests and trajectories.change_tests.
# Run in this folder: Rscript paired_reference.R. It writes
#   paired_cases.csv        case, pair, difference       the differences handed to both sides
#   paired_reference.csv    case, quantity, value        what R answers
#   paired_friedman_cases.csv, paired_friedman_reference.csv, paired_holm.csv
#   paired_versions.csv     R and package versions
suppressPackageStartupMessages(library(coin))
set.seed(20200127)

steps <- function(n, p_zero = 0.25) {   # EDSS-like: half points, ties and zeros
  d <- round(rnorm(n, 0.2, 1) * 2) / 2
  d[runif(n) < p_zero] <- 0
  d
}
cases <- list(
  edss_12 = steps(12), edss_35 = steps(35), edss_80 = steps(80), edss_200 = steps(200),
  edss_300 = steps(300, p_zero = 0.3),
  relapses_35 = pmin(rpois(35, 0.3), 2) - (1 + rpois(35, 1.1)),
  many_zeros_20 = c(rep(0, 14), 0.5, 0.5, -0.5, 1, 1.5, 0.5),
  one_way_8 = c(0.5, 0.5, 1, 1, 1.5, 2, 0.5, 0.5),
  continuous_7 = round(rnorm(7, 0.4), 6), continuous_35 = round(rnorm(35, 0.2), 6),
  continuous_120 = round(rnorm(120, 0.1), 6),
  three = c(0.5, -1, 1.5), two = c(1, 0.5)
)

walsh_median <- function(d) { w <- outer(d, d, "+") / 2; median(w[upper.tri(w, diag = TRUE)]) }

answer <- function(case, quantity, value) data.frame(case = case, quantity = quantity, value = as.numeric(value))
answers <- function(case, d) {
  n <- length(d); zero <- rep(0, n); out <- list()
  add <- function(quantity, value) out[[length(out) + 1]] <<- answer(case, quantity, value)
  asymptotic <- wilcoxsign_test(d ~ zero, zero.method = "Pratt", distribution = "asymptotic")
  add("pratt_asymptotic_p", pvalue(asymptotic)); add("pratt_z", statistic(asymptotic, "standardized"))
  add("pratt_v", statistic(asymptotic, "linear"))
  if (n <= 300)
    add("pratt_exact_p", pvalue(wilcoxsign_test(d ~ zero, zero.method = "Pratt", distribution = exact())))
  add("walsh_median", walsh_median(d))
  worse <- sum(d > 0); changed <- sum(d != 0)
  b <- binom.test(worse, changed)
  add("sign_p", b$p.value); add("sign_share", b$estimate)
  add("sign_lower", b$conf.int[1]); add("sign_upper", b$conf.int[2])
  if (sd(d) > 0) {
    t <- t.test(d)
    add("t", t$statistic); add("t_p", t$p.value); add("t_mean", t$estimate)
    add("t_lower", t$conf.int[1]); add("t_upper", t$conf.int[2])
    wide <- t.test(d, conf.level = 0.90)
    add("tost_lower", wide$conf.int[1]); add("tost_upper", wide$conf.int[2])
    for (m in c(0.25, 0.5, 1)) {
      p <- max(t.test(d, mu = -m, alternative = "greater")$p.value, t.test(d, mu = m, alternative = "less")$p.value)
      add(paste0("tost_p_", m), p)
    }
  }
  if (all(d != 0) && !anyDuplicated(abs(d)) && n >= 6) {   # stats::wilcox.test is exact only here
    w <- wilcox.test(d, conf.int = TRUE, exact = TRUE)
    add("wilcox_p", w$p.value); add("wilcox_v", w$statistic)
    add("wilcox_hl", w$estimate); add("wilcox_lower", w$conf.int[1]); add("wilcox_upper", w$conf.int[2])
    k <- max(1, qsignrank(0.025, n))
    add("attained", 1 - 2 * psignrank(k - 1, n))
  }
  do.call(rbind, out)
}
write <- function(x, file) write.csv(x, file, row.names = FALSE, quote = FALSE)
full <- function(x) trimws(formatC(x, digits = 17, format = "g"))

write(do.call(rbind, lapply(names(cases), function(c)
  data.frame(case = c, pair = seq_along(cases[[c]]), difference = cases[[c]]))), "paired_cases.csv")
reference <- do.call(rbind, lapply(names(cases), function(c) answers(c, cases[[c]])))
reference$value <- full(reference$value)
write(reference, "paired_reference.csv")

level <- function(x) pmin(pmax(round(x * 2) / 2, 0), 10)
tables <- list(
  edss_4 = t(sapply(1:30, function(i) level(rnorm(1, 4, 1.5) + c(-0.2, 0, 0.1, 0.3) + rnorm(4, 0, 0.5)))),
  edss_2 = t(sapply(1:12, function(i) level(rnorm(1, 3, 1) + rnorm(2, 0, 0.5)))),
  relapses_3 = cbind(1 + rpois(25, 1), rpois(25, 0.3), rpois(25, 0.2)),
  untied_3 = matrix(round(rnorm(24), 6), 8)
)
long <- function(c) { m <- tables[[c]]
  data.frame(case = c, patient = as.vector(row(m)), point = as.vector(col(m)), value = as.vector(m)) }
write(do.call(rbind, lapply(names(tables), long)), "paired_friedman_cases.csv")
friedman <- do.call(rbind, lapply(names(tables), function(c) { f <- friedman.test(tables[[c]])
  data.frame(case = c, statistic = full(unname(f$statistic)), p = full(f$p.value)) }))
write(friedman, "paired_friedman_reference.csv")

p <- c(0.632, 0.0001, 0.04, 0.04, 0.5, 0.011, NA, 0.02)
write(data.frame(p = p, holm = full(p.adjust(p, method = "holm"))), "paired_holm.csv")

packages <- c("coin", "stats")
write(data.frame(name = c("R", packages),
                 version = c(as.character(getRversion()), sapply(packages, function(x) as.character(packageVersion(x))))),
      "paired_versions.csv")
