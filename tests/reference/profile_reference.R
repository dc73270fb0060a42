# Independent reference for trajectories.fitting.profiles: profile-likelihood intervals of R.
# Run in this folder: Rscript profile_reference.R. It reads gaussian_visits.csv (dataset slopes) and profile_counts.csv, and writes
#   profile_binary.csv      patient, day, edss            two levels, handed to both sides
#   profile_reference.csv   case, term, lower, upper      what R answers
#   profile_versions.csv    R and package versions
suppressPackageStartupMessages({library(lme4); library(MASS); library(glmmTMB)})
rows <- list()
add <- function(case, term, interval)
  rows[[length(rows) + 1]] <<- data.frame(case = case, term = term, lower = interval[[1]], upper = interval[[2]])

# lme4: the Gaussian model by maximum likelihood
visits <- read.csv("gaussian_visits.csv"); visits <- visits[visits$dataset == "slopes", ]
visits$years <- visits$day / 365.25
visits$arm <- factor(visits$arm, levels = unique(visits$arm))
fit <- lmer(edss ~ years + (1 + years | patient), visits, REML = FALSE, control = lmerControl(optCtrl = list(ftol_abs = 1e-12, xtol_abs = 1e-12)))
answer <- confint(fit, method = "profile", oldNames = FALSE, quiet = TRUE, devtol = 1e-7)
names <- c("sd_(Intercept)|patient" = "sd(intercept)", "cor_years.(Intercept)|patient" = "cor(intercept, years)",
           "sd_years|patient" = "sd(years)", "sigma" = "residual_sd", "(Intercept)" = "intercept", "years" = "years")
for (k in rownames(answer)) add("lmer", names[[k]], answer[k, ])

# glm and glmmTMB: relapses of tests/fifty_patients.py, a row a patient and period, no patient effects
counts <- read.csv("profile_counts.csv")
counts$arm <- factor(counts$arm, levels = c("old", "new")); counts$period <- factor(counts$period, levels = c("before", "after"))
terms <- c("(Intercept)" = "intercept", "armnew" = "arm[new]", "periodafter" = "period[after]", "armnew:periodafter" = "arm[new]:period[after]")
poisson <- glm(relapses ~ arm * period + offset(log(exposure)), family = poisson, data = counts, control = glm.control(epsilon = 1e-14))
answer <- suppressMessages(confint(poisson))
for (k in rownames(answer)) add("glm", terms[[k]], answer[k, ])
nb <- glmmTMB(relapses ~ arm * period + offset(log(exposure)), family = nbinom2, data = counts)
answer <- confint(nb, method = "profile", parm = 1:5, stderr.scale = 1, npts = 60)
for (k in 1:4) add("glmmTMB", terms[[k]], answer[k, ])
# its parameter is log theta, theta = 1 / dispersion
add("glmmTMB", "dispersion", exp(-rev(answer[5, 1:2])))

# glmer: two levels of an ordinal outcome; P(upper) = plogis(-cutpoint + ...)
set.seed(20261123)
patient <- rep(1:60, each = 4); years <- rep(0:3, 60)
upper <- rbinom(240, 1, plogis(-0.5 + 0.4 * years + rnorm(60, 0, 1.2)[patient]))
binary <- data.frame(patient = paste0("p", patient), day = round(years * 365.25), edss = 2 + upper / 2)
write.csv(binary, "profile_binary.csv", row.names = FALSE, quote = FALSE)
binary$years <- binary$day / 365.25
fit <- glmer(upper ~ years + (1 | patient), family = binomial, data = binary, nAGQ = 15, control = glmerControl(tolPwrss = 1e-12))
answer <- confint(fit, method = "profile", oldNames = FALSE, quiet = TRUE, devtol = 1e-7)
add("glmer", "sd(intercept)", answer[1, ])
add("glmer", "2|2.5", -rev(answer["(Intercept)", ]))
add("glmer", "years", answer["years", ])

write.csv(do.call(rbind, rows), "profile_reference.csv", row.names = FALSE, quote = c(1, 2))
packages <- c("lme4", "MASS", "glmmTMB")
write.csv(data.frame(name = c("R", packages), version = c(as.character(getRversion()), sapply(packages, function(p) as.character(packageVersion(p))))),
          "profile_versions.csv", row.names = FALSE, quote = FALSE)
