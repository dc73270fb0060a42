# Independent reference for tj.visit_density: visits over person-years by survey::svyratio (arms as strata, patients or persons as clusters),
# and the ratio of two rates by survey::svyglm, quasi-Poisson with log years as offset. Run in this folder: Rscript visit_rates_reference.R.
# It makes visit_rates_cases.csv (simulated: patient, person, arm, visits, years), and writes visit_rates_reference.csv (case, quantity, arm,
# estimate, se; se of the log) and visit_rates_versions.csv. In case "crossed" every person has an episode in both arms.
suppressMessages(library(survey))
set.seed(17)
n <- 24
cases <- data.frame(patient = sprintf("p%02d", 1:(2 * n)), person = rep(sprintf("q%02d", 1:n), 2), arm = rep(c("old", "new"), each = n),
                    days = sample(300:1500, 2 * n))
liking <- rep(rgamma(n, 8, 8), 2)
cases$visits <- rpois(2 * n, liking * ifelse(cases$arm == "new", 2.6, 2) * cases$days / 365.25)
cases$years <- cases$days / 365.25
cases$household <- c(rep(1:8, each = 3), rep(9:16, each = 3))  # within arms
write.csv(cases, "visit_rates_cases.csv", row.names = FALSE)
cases$arm <- factor(cases$arm, levels = c("old", "new"))
one <- function(case, design) {
  rates <- do.call(rbind, lapply(c("old", "new"), function(a) {
    r <- svyratio(~visits, ~years, subset(design, arm == a))
    data.frame(case = case, quantity = "rate", arm = a, estimate = coef(r), se = sqrt(vcov(r)[1]) / coef(r))
  }))
  fit <- svyglm(visits ~ arm + offset(log(years)), design = design, family = quasipoisson(), control = list(epsilon = 1e-14))
  rbind(rates, data.frame(case = case, quantity = "ratio", arm = "new", estimate = exp(coef(fit)[["armnew"]]), se = SE(fit)[["armnew"]]))
}
out <- rbind(one("patients", svydesign(ids = ~1, strata = ~arm, weights = ~1, data = cases)),
             one("households", svydesign(ids = ~household, strata = ~arm, weights = ~1, data = cases)),
             one("crossed", svydesign(ids = ~person, weights = ~1, data = cases)))
write.csv(out, "visit_rates_reference.csv", row.names = FALSE)
write.csv(data.frame(package = c("R", "survey"), version = c(as.character(getRversion()), as.character(packageVersion("survey")))),
          "visit_rates_versions.csv", row.names = FALSE)
print(out)
