# Independent reference for tj.predict: conditional modes and variances of patient effects of a Gaussian mixed model.
# Run in this folder: Rscript predict_reference.R. It reads gaussian_visits.csv (dataset slopes) and writes
#   predict_reference.csv   patient, effect, mode, other_effect, covariance    ranef(…, condVar = TRUE) of the first patients
#   predict_versions.csv    R and package versions
suppressPackageStartupMessages(library(lme4))
visits <- read.csv("gaussian_visits.csv"); visits <- visits[visits$dataset == "slopes", ]
visits$years <- visits$day / 365.25
fit <- lmer(edss ~ years + (1 + years | patient), visits, REML = FALSE, control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5)))
found <- ranef(fit, condVar = TRUE)$patient
variance <- attr(found, "postVar")
effects <- c("intercept", "years")
rows <- list()
for (p in 1:8) for (i in 1:2) for (j in 1:2)
  rows[[length(rows) + 1]] <- data.frame(patient = rownames(found)[p], effect = effects[i], mode = found[p, i],
                                         other_effect = effects[j], covariance = variance[i, j, p])
write.csv(do.call(rbind, rows), "predict_reference.csv", row.names = FALSE, quote = FALSE)
write.csv(data.frame(name = c("R", "lme4"), version = c(as.character(getRversion()), as.character(packageVersion("lme4")))),
          "predict_versions.csv", row.names = FALSE, quote = FALSE)
