# Fit by maximum likelihood in R; started by bench_marginal.py. Arguments: the program, the folder with the data. Prints seconds and log-likelihood.
given <- commandArgs(TRUE)
seconds <- function(code) system.time(code)[["elapsed"]]
if (given[1] == "clmm") {
  suppressPackageStartupMessages(library(ordinal))
  visits <- read.csv(file.path(given[2], "visits.csv"))
  visits$level <- factor(visits$y, ordered = TRUE)
  took <- seconds(fit <- clmm(level ~ t + t:trt + (1 + t | pid), data = visits))
  version <- packageVersion("ordinal")
} else if (given[1] == "lme4") {
  suppressPackageStartupMessages(library(lme4))
  visits <- read.csv(file.path(given[2], "edss.csv"))
  took <- seconds(fit <- lmer(edss ~ years + years:trt + (1 + years | patient), data = visits, REML = FALSE))
  version <- packageVersion("lme4")
} else {
  suppressPackageStartupMessages(library(glmmTMB))
  counts <- read.csv(file.path(given[2], "counts.csv"))
  took <- seconds(fit <- glmmTMB(relapses ~ trt + offset(log(exposure)) + (1 | patient), data = counts, family = nbinom2))
  version <- packageVersion("glmmTMB")
}
cat(sprintf('{"seconds": %.3f, "loglik": %.8f, "version": "%s"}\n', took, as.numeric(logLik(fit)), version))
