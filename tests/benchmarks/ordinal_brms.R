# Sample the ordinal model with brms, at its default priors; started by bench_ordinal_nuts.py.
# Arguments: the folder that holds visits.csv, a name, draws, warm-up, chains, seed. Writes <name>.csv (draws) and <name>.json (seconds).
suppressPackageStartupMessages(library(brms))
given <- commandArgs(TRUE)
folder <- given[1]
name <- given[2]
draws <- as.integer(given[3]); warmup <- as.integer(given[4]); chains <- as.integer(given[5]); seed <- as.integer(given[6])
cores <- 2L
visits <- read.csv(file.path(folder, "visits.csv"))
visits$yo <- visits$y + 1L

seconds <- function(code) system.time(code)[["elapsed"]]
compiling <- seconds(
  empty <- brm(yo ~ t + t:trt + (1 + t | pid), data = visits, family = cumulative("logit"), chains = 0, seed = seed, refresh = 0))
running <- seconds(
  fit <- update(empty, chains = chains, cores = cores, iter = warmup + draws, warmup = warmup, recompile = FALSE, refresh = 0, seed = seed))

# Sampling is counted as Stan counts it for each chain, the chains put on the cores in turn: without R's own work, in brms's favour.
busy <- numeric(cores)
for (took in rowSums(rstan::get_elapsed_time(fit$fit))) { free <- which.min(busy); busy[free] <- busy[free] + took }

names <- variables(fit)
cutpoints <- grep("^b_Intercept\\[", names, value = TRUE)
wanted <- c("t" = "b_t", "t:trt" = "b_t:trt", "sd(intercept)" = "sd_pid__Intercept", "sd(t)" = "sd_pid__t",
            "cor(intercept, t)" = "cor_pid__Intercept__t", setNames(cutpoints, paste0("c", seq_along(cutpoints))))
kept <- rstan::extract(fit$fit, pars = unname(wanted), permuted = FALSE)  # draw × chain × parameter
frame <- as.data.frame(matrix(kept, ncol = length(wanted)))              # chain after chain
names(frame) <- names(wanted)
frame <- cbind(chain = rep(seq_len(chains) - 1L, each = draws), frame)
write.csv(frame, file.path(folder, paste0(name, ".csv")), row.names = FALSE)
diverging <- sum(subset(nuts_params(fit), Parameter == "divergent__")$Value)
cat(sprintf('{"program": "brms %s (rstan %s)", "sampling": %.3f, "sampling_wall": %.3f, "total": %.3f, "diverging": %d}',
            packageVersion("brms"), packageVersion("rstan"), max(busy), running, compiling + running, as.integer(diverging)),
    file = file.path(folder, paste0(name, ".json")))
