# Independent reference for effects of groups of patients, (1 | centre), beside those of patients.
# Run in this folder: Rscript groups_reference.R. It writes
#   groups_visits.csv      patient, day, edss, arm, age, centre, country, start_year, doctor    simulated visits, EDSS on its 20 levels
#   groups_reference.csv   case, quantity, value                            what lme4 answers
#   groups_versions.csv    R and package versions
suppressPackageStartupMessages(library(lme4))
set.seed(20261123)

legal <- function(y) { y <- pmin(pmax(round(2 * y) / 2, 0), 10); ifelse(y == 0.5, 1, y) }
centres <- data.frame(centre = sprintf("C%02d", 1:12), country = rep(c("X", "Y", "Z", "W"), each = 3), shift = rnorm(12, 0, 0.7) + rep(c(-1.2, 0, 1.2, 0.3), each = 3))
years <- setNames(rnorm(10, 0, 0.7), 2005:2014)
people <- data.frame(patient = 1:90, centre = sample(centres$centre, 90, replace = TRUE, prob = 1:12), age = round(rnorm(90, 38, 9)),
                     start_year = sample(2005:2014, 90, replace = TRUE))
people <- merge(people, centres)
people <- people[order(people$patient), ]
people$arm <- ifelse(runif(90) < plogis(people$shift), "b", "a")
one <- function(i) {
  who <- people[i, ]
  day <- sort(sample(seq(-200, 1100, by = 7), sample(3:7, 1)))
  time <- day / 365.25
  mean <- 3.5 + 0.03 * (who$age - 38) - 0.5 * (who$arm == "b") + who$shift + years[[as.character(who$start_year)]] +
    rnorm(1, 0, 1.1)
  slope <- 0.2 + 0.2 * (who$arm == "b") + rnorm(1, 0, 0.4)
  data.frame(patient = who$patient, day = day, edss = legal(mean + slope * time + rnorm(length(day), 0, 0.6)),
             arm = who$arm, age = who$age, centre = who$centre, country = who$country,
             start_year = who$start_year, doctor = i %% 5)
}
visits <- do.call(rbind, lapply(seq_len(90), one))
write.csv(visits, "groups_visits.csv", row.names = FALSE, quote = FALSE)
visits$years <- visits$day / 365.25

out <- list()
add <- function(case, quantity, value)
  out[[length(out) + 1]] <<- data.frame(case = case, quantity = quantity, value = sprintf("%.15g", as.numeric(value)))
name <- function(term) sub("armb", "arm[b]", sub("(Intercept)", "intercept", term, fixed = TRUE))
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                     check.conv.singular = "ignore", calc.derivs = FALSE)
with_lme4 <- function(case, formula, reml) {
  fit <- lmer(formula, visits, REML = reml, control = tight)
  add(case, "loglik", logLik(fit))
  add(case, "parameters", attr(logLik(fit), "df"))
  for (term in names(fixef(fit))) {
    add(case, paste0("estimate ", name(term)), fixef(fit)[term])
    add(case, paste0("se ", name(term)), sqrt(diag(as.matrix(vcov(fit))))[term])
  }
  for (group in names(VarCorr(fit))) {
    G <- VarCorr(fit)[[group]]
    if (group == "patient") {
      for (i in seq_len(nrow(G))) for (j in seq_len(i))
        add(case, paste("covariance", name(rownames(G)[i]), name(rownames(G)[j])), G[i, j])
    } else {
      add(case, paste0("sd(", group, ")"), sqrt(G[1, 1]))
      b <- ranef(fit, condVar = FALSE)[[group]]
      for (level in rownames(b)) add(case, paste0("estimate ", group, "[", level, "]"), b[level, 1])
    }
  }
  add(case, "residual_sd", sigma(fit))
}
for (reml in c(FALSE, TRUE)) {
  kind <- if (reml) "reml" else "ml"
  with_lme4(paste0("slopes_", kind), edss ~ arm * years + age + (1 + years | patient) + (1 | centre), reml)
  with_lme4(paste0("intercepts_", kind), edss ~ years + (1 | patient) + (1 | centre), reml)
  with_lme4(paste0("nested_", kind), edss ~ arm + years + (1 | patient) + (1 | centre) + (1 | country), reml)
}
# Crossed groups, and one that makes no difference: its standard deviation is 0.
with_lme4("crossed_ml", edss ~ arm + years + (1 | patient) + (1 | centre) + (1 | start_year), FALSE)
with_lme4("singular_ml", edss ~ arm + years + (1 | patient) + (1 | centre) + (1 | doctor), FALSE)

write.csv(do.call(rbind, out), "groups_reference.csv", row.names = FALSE, quote = FALSE)
versions <- data.frame(name = c("R", "lme4"), version = c(as.character(getRversion()), as.character(packageVersion("lme4"))))
write.csv(versions, "groups_versions.csv", row.names = FALSE, quote = FALSE)
