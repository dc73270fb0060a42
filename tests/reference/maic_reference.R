# Independent reference for trajectories.comparison.matching_adjusted: weights by optim, as Signorovitch 2010 defines them
# (minimise the sum of exp(z'a), z = covariates less the published means). Run in this folder: Rscript maic_reference.R. It writes
#   maic_cases.csv       patient, age, female, edss, relapses, years, change     a made-up cohort
#   maic_reference.csv   case, quantity, value     weights (mean 1) by patient, effective sample size, and for the case "sd" the
#                        weighted rate and change with standard errors by stacked estimating equations ("se"), and with the leverage of
#                        the weighted regression on z by sandwich ("hc3"); those of rates are of the log
#   maic_versions.csv    R and package versions
suppressPackageStartupMessages(library(sandwich))
set.seed(20260901)
n <- 60
edss <- round(2 * pmin(pmax(rnorm(n, 3.4, 1.6), 0), 8)) / 2; edss[edss == 0.5] <- 1
d <- data.frame(patient = sprintf("m%02d", 1:n), age = round(rnorm(n, 37, 9), 1), female = rbinom(n, 1, 0.6), edss = edss,
                years = round(runif(n, 0.6, 2), 3))
d$relapses <- rnbinom(n, size = 1, mu = d$years * exp(-2 + 0.25 * d$edss)); d$change <- round(2 * rnorm(n, 0.1, 0.8)) / 2
write.csv(d, "maic_cases.csv", row.names = FALSE)
rows <- list(); add <- function(case, quantity, value)
  rows[[length(rows) + 1]] <<- data.frame(case = case, quantity = quantity, value = as.numeric(value))
cases <- list(
  mean = cbind(d$age - 34.8, d$female - 0.66, d$edss - 2.7),
  sd = cbind(d$age - 34.8, (d$age - 34.8)^2 - 8.4^2, d$female - 0.66, d$edss - 2.7, (d$edss - 2.7)^2 - 1.3^2),
  median = cbind(d$age - 34.8, (d$edss <= 2.5) - 0.5))
for (case in names(cases)) {
  z <- scale(cases[[case]], center = FALSE, scale = apply(cases[[case]], 2, sd))
  o <- optim(rep(0, ncol(z)), function(a) sum(exp(z %*% a)), function(a) as.vector(crossprod(z, exp(z %*% a))), method = "BFGS",
             control = list(reltol = 1e-16, maxit = 5000))
  w <- as.vector(exp(z %*% o$par)); w <- w / mean(w)
  for (i in 1:n) add(case, d$patient[i], w[i])
  add(case, "ess", sum(w)^2 / sum(w^2))
  if (case == "sd") {
    # stacked estimating equations (a, theta): A = mean of derivatives, B = mean of outer products, V = A^-1 B A^-T / n
    stacked <- function(numerator, denominator) {
      theta <- sum(w * numerator) / sum(w * denominator)
      psi <- cbind(w * z, w * (numerator - theta * denominator)); p <- ncol(psi)
      A <- matrix(0, p, p)
      A[1:(p - 1), 1:(p - 1)] <- crossprod(z, w * z) / n
      A[p, 1:(p - 1)] <- colMeans(w * (numerator - theta * denominator) * z)
      A[p, p] <- -mean(w * denominator)
      V <- solve(A) %*% (crossprod(psi) / n) %*% t(solve(A)) / n
      c(theta, sqrt(V[p, p]))
    }
    r <- stacked(d$relapses, d$years); m <- stacked(d$change, rep(1, n))
    hc3 <- function(numerator, denominator, theta) {
      d$residual <- numerator - theta * denominator
      m <- lm(d$residual ~ z, weights = w)
      sqrt(vcovHC(m, type = "HC3")[1, 1]) * sum(w) / sum(w * denominator)
    }
    add(case, "log rate hc3", hc3(d$relapses, d$years, r[1]) / r[1]); add(case, "change hc3", hc3(d$change, rep(1, n), m[1]))
    add(case, "rate", r[1]); add(case, "log rate se", r[2] / r[1]); add(case, "change", m[1]); add(case, "change se", m[2])
  }
}
write.csv(do.call(rbind, rows), "maic_reference.csv", row.names = FALSE)
write.csv(data.frame(package = c("R", "sandwich"), version = c(paste(R.version$major, R.version$minor, sep = "."),
  as.character(packageVersion("sandwich")))), "maic_versions.csv", row.names = FALSE)
