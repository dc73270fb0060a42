# Events that MSoutcomes finds in its sample data: endpoints_msoutcomes.csv and endpoints_msoutcomes_versions.csv.
#   Rscript endpoints_msoutcomes.R path/to/msoutcomes_sample.csv
# MSoutcomes must be installed (CRAN, 0.2.1). Days are counted from each patient's first visit.
library(MSoutcomes)
visits <- read.csv(commandArgs(trailingOnly = TRUE)[1])
first <- tapply(as.Date(visits$dateEDSS), visits$ID, min)
rows <- list()
add <- function(found, kind, sustained) {
  if (nrow(found) == 0) return(NULL)
  rows[[length(rows) + 1]] <<- data.frame(
    patient = found$ID, kind = kind, sustained_only = sustained,
    reference_day = as.numeric(as.Date(found$base.date)) - as.numeric(first[found$ID]),
    reference_value = found$bEDSS,
    day = as.numeric(as.Date(found$dateEDSS)) - as.numeric(first[found$ID]), value = found$EDSS
  )
}
for (sustained in c(TRUE, FALSE)) {
  add(suppressMessages(CDW(visits, sustained = sustained)), "worsening", sustained)
  add(suppressMessages(CDI(visits, sustained = sustained)), "improvement", sustained)
}
events <- do.call(rbind, rows)
events$patient <- sub("^.* ", "", events$patient)
write.csv(events, "endpoints_msoutcomes.csv", row.names = FALSE, quote = FALSE)
versions <- data.frame(package = c("R", "MSoutcomes"), version = c(paste(R.version$major, R.version$minor, sep = "."), as.character(packageVersion("MSoutcomes"))))
write.csv(versions, "endpoints_msoutcomes_versions.csv", row.names = FALSE, quote = FALSE)
