# Independent reference for trajectories.comparison.pooling: Rubin's rules by mice::pool.scalar, which takes the degrees of freedom of
# Barnard and Rubin. Run in this folder: Rscript pooling_reference.R. It writes
#   pooling_cases.csv       case, estimate, variance, complete_df      made-up estimates of imputed data sets
#   pooling_reference.csv   case, estimate, within, between, total, df, missing_information
#   pooling_versions.csv    R and package versions
suppressPackageStartupMessages(library(mice))
options(digits = 17)
cases <- list(
  few = list(q = c(-0.41, -0.22, -0.35, -0.58, -0.31), u = c(0.021, 0.024, 0.019, 0.022, 0.026), df = 31),
  many = list(q = 0.6 + 0.05 * sin(1:20), u = 0.004 + 0.0005 * cos(1:20), df = 397),
  large = list(q = c(1.2, 1.9, 0.4), u = c(0.2, 0.3, 0.25), df = 1e7),
  close = list(q = c(0.5, 0.51, 0.49), u = c(0.01, 0.011, 0.012), df = 12))
rows <- list(); made <- list()
for (case in names(cases)) {
  one <- cases[[case]]
  rows[[case]] <- data.frame(case = case, estimate = one$q, variance = one$u, complete_df = one$df)
  p <- pool.scalar(one$q, one$u, n = one$df + 1, k = 1, rule = "rubin1987")
  made[[case]] <- data.frame(case = case, estimate = p$qbar, within = p$ubar, between = p$b, total = p$t, df = p$df,
                             missing_information = p$fmi)
}
write.csv(do.call(rbind, rows), "pooling_cases.csv", row.names = FALSE)
write.csv(do.call(rbind, made), "pooling_reference.csv", row.names = FALSE)
write.csv(data.frame(package = c("R", "mice"), version = c(as.character(getRversion()), as.character(packageVersion("mice")))),
          "pooling_versions.csv", row.names = FALSE)
