"""Write the rows that binary_reference.R fits: whether EDSS is 4 or more, in the simulated cohorts of the package, as the model takes them.

Run in this folder: `python binary_cases.py FOLDER`, then `Rscript binary_reference.R FOLDER`.
"""

import sys
from pathlib import Path

import trajectories as tj
from trajectories import models

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, cohort, formula in (
        ("400", tj.simulated_three_dmts_400(), "edss ~ arm * years + (1 | patient)"),
        ("35", tj.simulated_alemtuzumab_35(), "edss ~ years + (1 | patient)"),
    ):
        design = models.BinaryMixed(formula, threshold=4.0).design(cohort)
        rows = design.frame[["edss", "years", "arm"]].assign(patient=design.patient)
        rows.to_csv(folder / f"binary_{name}.csv", index=False)
