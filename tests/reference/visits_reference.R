# Independent reference for tj.visit_weights: the Andersen-Gill model of visits by survival::coxph on counting-process rows that are built
# here day by day. Run in this folder: Rscript visits_reference.R. It reads visits_cases.csv, visits_relapses.csv and visits_patients.csv
# (simulated) and writes visits_reference.csv (term, coef) and visits_versions.csv.
library(survival)
visits <- read.csv("visits_cases.csv"); relapses <- read.csv("visits_relapses.csv"); people <- read.csv("visits_patients.csv")
rows <- do.call(rbind, lapply(seq_len(nrow(people)), function(i) {
  p <- people[i, ]; v <- visits[visits$patient == p$patient, ]; r <- relapses$day[relapses$patient == p$patient]
  # one row a day: what is known before a visit of that day; a relapse is recent from its day to 90 days later
  day <- seq_len(p$followup_end)
  data.frame(patient = p$patient, start = day - 1, stop = day, visit = as.integer(day %in% v$day),
             edss_now = sapply(day, function(d) tail(v$edss[v$day < d], 1)),
             relapses_recent = sapply(day, function(d) sum(r <= d & r >= d - 90)), age = p$age)
}))
fit <- coxph(Surv(start, stop, visit) ~ edss_now + relapses_recent + age, data = rows, ties = "breslow",
             control = coxph.control(eps = 1e-10, toler.chol = 1e-12, iter.max = 50))
write.csv(data.frame(term = names(coef(fit)), coef = coef(fit)), "visits_reference.csv", row.names = FALSE)
write.csv(data.frame(package = c("R", "survival"), version = c(as.character(getRversion()), as.character(packageVersion("survival")))),
          "visits_versions.csv", row.names = FALSE)
