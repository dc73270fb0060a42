"""Write the rows that marginal_reference.R fits: the simulated cohorts of the package, as the models take them.

Run in this folder: `python marginal_cases.py FOLDER`, then `Rscript marginal_reference.R FOLDER`.
"""

import sys
from pathlib import Path

import trajectories as tj
from trajectories import models

WINDOWS = (-1, 0, 1, 2, None)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, cohort, formula in (
        ("400", tj.simulated_three_dmts_400(), "edss ~ arm * years + (1 | patient)"),
        ("35", tj.simulated_alemtuzumab_35(), "edss ~ years + (1 | patient)"),
    ):
        design = models.OrdinalMixed(formula).design(cohort)
        rows = design.frame[["edss", "years", "arm"]].assign(patient=design.patient)
        rows.to_csv(folder / f"edss_{name}.csv", index=False)
        model = models.RelapseCounts("relapses ~ period + (1 | patient)", windows=WINDOWS)
        design = model.design(cohort)
        rows = design.frame[["relapses", "period", "arm"]]
        rows = rows.assign(exposure=design.exposure, patient=design.patient)
        rows.to_csv(folder / f"relapses_{name}.csv", index=False)
