# Independent reference for weighted times to an event (trajectories.endpoints.survival_partial, survival_steps).
# Run in this folder: Rscript weighted_survival_reference.R. It reads survival_cases.csv, and writes
#   weighted_survival_weights.csv     case, patient, weight            handed to both sides
#   weighted_survival_reference.csv   case, analysis, quantity, value  what R answers
#   weighted_survival_versions.csv    R and package versions
suppressPackageStartupMessages(library(survival))
set.seed(20261123)
cases <- read.csv("survival_cases.csv")
rows <- list(); weights <- list()
add <- function(case, analysis, quantity, value)
  rows[[length(rows) + 1]] <<- data.frame(case = case, analysis = analysis, quantity = quantity, value = as.numeric(value))
for (case in c("two_arms", "three_arms", "untied", "small")) {
  d <- cases[cases$case == case, ]; d$event <- as.integer(d$cause == 1)
  d$w <- round(rgamma(nrow(d), 2, 2), 6) + 0.05
  weights[[case]] <- data.frame(case = case, patient = d$patient, weight = d$w)
  for (ties in c("efron", "breslow")) for (by in c("patient", "centre")) {
    d$group <- d[[by]]
    m <- coxph(Surv(time, event) ~ arm + age, d, weights = w, ties = ties, cluster = group, control = coxph.control(eps = 1e-13, iter.max = 100))
    name <- paste("coxph", ties, by)
    add(case, name, names(coef(m)), coef(m)); add(case, name, paste("se", names(coef(m))), sqrt(diag(vcov(m)))); add(case, name, "loglik", m$loglik[2])
  }
  f <- survfit(Surv(time, event) ~ arm, d, weights = w, id = patient, robust = TRUE)
  label <- rep(sub("arm=", "", names(f$strata)), f$strata)
  for (part in c("time", "surv", "std.err")) add(case, "survfit", paste(part, label, ave(seq_along(label), label, FUN = seq_along)), f[[part]])
}
write.csv(do.call(rbind, weights), "weighted_survival_weights.csv", row.names = FALSE)
out <- do.call(rbind, rows); out$value <- formatC(out$value, digits = 15, format = "g")
write.csv(out, "weighted_survival_reference.csv", row.names = FALSE, quote = FALSE)
write.csv(data.frame(package = c("R", "survival"), version = c(paste(R.version$major, R.version$minor, sep = "."), as.character(packageVersion("survival")))),
          "weighted_survival_versions.csv", row.names = FALSE)
