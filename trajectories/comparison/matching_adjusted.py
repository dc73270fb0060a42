"""Matching-adjusted indirect comparison: weights with which a cohort's covariates have the means that a paper printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import SIMULATED, warning_lines
from trajectories.cohort import Cohort
from trajectories.comparison.figures import Figure, PublishedFigureError
from trajectories.comparison.moments import Moments, Targets, moments_of
from trajectories.comparison.sources import Published
from trajectories.printing import aligned, sentence
from trajectories.weighting.tilting import kish, tilted

__all__ = ["MaicError", "MaicWeights", "maic"]

FEWEST, LEAST_SHARE = 10.0, 0.1
EXACT = 1e-8

type FloatArray = NDArray[np.float64]


class MaicError(ValueError):
    """The published means cannot be matched, or only by giving all weight to a few patients."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MaicWeights:
    """Weights of patients that match published means; printing it says what was matched and what that cost.

    Parameters
    ----------
    values
        Weights with mean 1, index `patient`, in the cohort's order.
    moments
        One row a matched moment: `covariate`, `moment` ("mean", "second moment", "share …"), `before`, `target`, `after`, `sd` (of the
        cohort before weighting).
    deviations
        What was matched, less its target, in SDs: patients × moments, same index as `values`. Standard errors need them.
    target
        Whose population the weights stand for.
    arm
        The arm of the cohort that is weighted; None for everybody.
    covariates
        What was matched, in words.
    left_out
        Patients of the arm without a value, who have no weight.
    accepted
        Whether a collapsed effective sample size was accepted in words.
    notes, simulated
        What must be said; whether the cohort is simulated.
    """

    values: pd.Series = field(repr=False)
    moments: pd.DataFrame = field(repr=False)
    deviations: pd.DataFrame = field(repr=False)
    target: str
    arm: str | None
    covariates: tuple[str, ...]
    left_out: int
    accepted: bool
    notes: tuple[str, ...]
    simulated: bool
    targets: Mapping[str, Figure] = field(repr=False)

    @property
    def effective_sample_size(self) -> float:
        """(Σw)² / Σw²: how many unweighted patients would be as informative (Kish)."""
        return kish(self.values.to_numpy())

    def remade(self, cohort: Cohort) -> MaicWeights:
        """Match the same published means with another cohort, such as a bootstrap resample; its size is not judged again.

        Raises
        ------
        MaicError
            If the means lie outside that cohort.
        """
        return _weights(
            cohort,
            self.targets,
            self.target,
            self.arm,
            leave_out_missing=self.left_out > 0,
            accept_small=True,
        )

    def balance_among(self, patients: pd.Index) -> pd.DataFrame:
        """Return what is left of the matching among some of the patients, such as those with an outcome.

        One row a matched moment: `covariate`, `moment`, `target`, `among` (weighted mean among them), `apart` (among less target, in SDs of
        the cohort before weighting).

        Raises
        ------
        MaicError
            If none of them has a weight.
        """
        mine = self.values[self.values.index.isin(patients)]
        if mine.empty:
            raise MaicError("none of these patients has a weight.")
        apart = np.average(self.deviations.loc[mine.index].to_numpy(), axis=0, weights=mine.to_numpy())
        frame = self.moments[["covariate", "moment", "target"]].copy()
        frame["among"] = frame["target"] + apart * self.moments["sd"]
        return frame.assign(apart=apart)

    def summary(self) -> pd.DataFrame:
        """Return a row a matched moment: before, target, after; `attrs` hold sizes and notes."""
        frame = self.moments.copy()
        frame.attrs.update(
            patients=len(self.values),
            left_out=self.left_out,
            effective_sample_size=self.effective_sample_size,
            target=self.target,
            notes=list(self.notes),
        )
        return frame

    def to_frame(self) -> pd.DataFrame:
        """Return the weights, one row a patient: `patient`, `weight`."""
        return self.values.rename("weight").rename_axis("patient").reset_index()

    def __str__(self) -> str:
        w = self.values.to_numpy()
        whom = "everybody" if self.arm is None else self.arm
        rows = [["matched", "moment", "before", "target", "after"]] + [
            [str(name), str(moment), *(f"{value:.3g}" for value in numbers)]
            for name, moment, *numbers in self.moments[["covariate", "moment", "before", "target", "after"]]
            .to_numpy()
            .tolist()
        ]
        caveats = [SIMULATED] if self.simulated else []
        lines = [
            f"Matching-adjusted weights of {whom}, so that covariates have the published means of {self.target}",
            *aligned(rows, left=2, indent=2),
            f"  patients weighted: {len(w)}, without a value: {self.left_out}; effective sample size "
            f"{self.effective_sample_size:.1f} ({self.effective_sample_size / len(w):.0%}); weights {w.min():.2g} to {w.max():.2g}, the "
            f"largest {w.max() / w.sum():.0%} of all",
        ]
        for note in [*map(str, caveats), *self.notes]:
            lines += sentence(note, bullet="  - ")
        return warning_lines(caveats) + "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def maic(
    cohort: Cohort,
    published_means: Targets,
    *,
    arm: str | None = None,
    target: str | None = None,
    leave_out_missing: bool = False,
    accept_small: bool = False,
) -> MaicWeights:
    """Weight a cohort so that its covariates have published means, by the method of moments.

    wᵢ ∝ exp(zᵢ'α), zᵢ = covariates less their published means, with α at the minimum of the convex function log Σ exp(zᵢ'α): there
    Σ wᵢzᵢ = 0, the defining equations, which hold to 10⁻⁸ (in SDs of the covariates). `MeanSD` and conversions of quartiles match mean
    and second moment (SD² + mean²), `Mean` the mean, `Share` the share with its `level`, `Quartiles` the median: half of the patients at or
    below it.

    Parameters
    ----------
    cohort
        The patients.
    published_means
        Covariate (a column of the patients) to figure: `Published` or its `figure`.
    arm
        The arm to weight; None for everybody.
    target
        Whose means they are; None takes the name of the `Published` figures.
    leave_out_missing
        Whether patients without a value of a covariate get no weight; else they are an error.
    accept_small
        Whether to accept an effective sample size below 10 or below 10 % of the patients; the result is then marked.

    Returns
    -------
    `MaicWeights`: `.values`, `.effective_sample_size`, `.summary()`; print it to read it.

    Raises
    ------
    MaicError
        If the published means lie outside what any weighting of these patients can reach, values are missing, the covariates are
        unknown or constant, or the effective sample size collapses.
    PublishedFigureError
        If a figure cannot be matched.
    TypeError
        If a plain number stands where a figure must.

    References
    ----------
    Signorovitch et al. 2010 (doi:10.2165/11538370-000000000-00000).

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories.comparison import published
    >>> trial = published.CARE_MS_2["alemtuzumab"]
    >>> weights = maic(tj.simulated_three_dmts_400(), {"age": trial.age, "edss_baseline": trial.edss_baseline}, arm="alemtuzumab")
    >>> weights.target, weights.moments["after"].round(2).tolist()
    ('CARE-MS II, alemtuzumab', [34.8, 70.56, 2.7, 1.69])
    >>> round(weights.effective_sample_size)
    101
    """
    if not isinstance(published_means, Mapping):
        raise TypeError(
            f"published_means is a mapping of covariates to figures, such as {{'age': MeanSD(mean=34.8, sd=8.4)}}, not "
            f"{type(published_means).__name__}."
        )
    if not published_means:
        raise MaicError("there is nothing to match: give covariates with their published means.")
    figures, name = _figures(published_means, target)
    return _weights(
        cohort, figures, name, arm, leave_out_missing=leave_out_missing, accept_small=accept_small
    )


def _figures(published_means: Targets, target: str | None) -> tuple[dict[str, Figure], str]:
    for name, given in published_means.items():
        if not isinstance(given, Figure | Published):
            raise TypeError(
                f"{name} must be a published figure, not {type(given).__name__}: say what the number is, MeanSD(mean=…, sd=…), Mean(mean=…), "
                "Share(share=…, level=…) or Quartiles(…) of trajectories.comparison.published."
            )
    figures = {
        name: given if isinstance(given, Figure) else given.figure for name, given in published_means.items()
    }
    names = dict.fromkeys(given.name for given in published_means.values() if not isinstance(given, Figure))
    if target is None and len(names) != 1:
        raise PublishedFigureError(
            f"say whose means these are by target=…: the figures name {' and '.join(names) or 'nobody'}."
        )
    return figures, next(iter(names)) if target is None else target


def _weights(
    cohort: Cohort,
    figures: Mapping[str, Figure],
    target: str,
    arm: str | None,
    *,
    leave_out_missing: bool,
    accept_small: bool,
) -> MaicWeights:
    patients = cohort.patients.set_index("patient")
    if arm is not None:
        if arm not in cohort.arms:
            raise MaicError(f"there is no arm {arm!r}; there are: {', '.join(cohort.arms)}.")
        patients = patients[patients["arm"] == arm]
    found = moments_of(patients, figures, MaicError)
    kept = found.values.notna().all(axis=1)
    left_out = int((~kept).sum())
    if left_out and not leave_out_missing:
        lacking = found.values.columns[found.values.isna().any()].get_level_values(0).unique()
        raise MaicError(
            f"{left_out} of {len(kept)} patients have no value of {', '.join(lacking)}: impute them, or leave these patients out by "
            "leave_out_missing=True."
        )
    x = found.values[kept]
    sd = x.std(ddof=0)
    _check_spread(x, sd)
    z = (x - found.targets) / sd
    w = _solve(z.to_numpy(), x, found)
    small = kish(w)
    collapsed = small < max(FEWEST, LEAST_SHARE * len(w))
    if collapsed and not accept_small:
        raise MaicError(
            f"the effective sample size collapses: {small:.1f} of {len(w)} patients, below {FEWEST:g} or {LEAST_SHARE:.0%} of them. The "
            f"cohort and {target} hardly overlap; match fewer moments (`Mean` in place of `MeanSD`), or accept_small=True marks the result."
        )
    values = pd.Series(w / w.mean(), index=x.index, name="weight")
    return MaicWeights(
        values=values,
        moments=found.table(x, values, sd),
        deviations=z,
        target=target,
        arm=arm,
        covariates=tuple(figures),
        left_out=left_out,
        accepted=bool(collapsed),
        notes=_notes(found, left_out, bool(collapsed), target),
        simulated=cohort.simulated,
        targets=dict(figures),
    )


def _check_spread(x: pd.DataFrame, sd: pd.Series) -> None:
    if len(x) < 2:
        raise MaicError(f"{len(x)} patients cannot be weighted: give an arm with more.")
    same = [str(name) for name in sd.index[sd < 1e-12].get_level_values(0).unique()]
    if same:
        raise MaicError(
            f"all patients have the same value of {', '.join(same)}: it cannot be matched, leave it out."
        )


def _solve(z: FloatArray, x: pd.DataFrame, found: Moments) -> FloatArray:
    """Weights with which the moments have their targets; shapes (patients, moments) to (patients,)."""
    _check_inside(z, x, found)
    w, worst = tilted(z, np.full(len(z), 1 / len(z)), EXACT / 10)
    if not worst < EXACT:
        raise MaicError(
            f"the published means were matched only to {worst:.1g} SD: they lie at the edge of the cohort; match fewer moments."
        )
    return w


def _check_inside(z: FloatArray, x: pd.DataFrame, found: Moments) -> None:
    """Whether the targets are a mean of the patients in which each counts: the largest least weight is above 0."""
    from scipy.optimize import linprog

    outside = (z.min(axis=0) >= 0) | (z.max(axis=0) <= 0)
    if outside.any():
        names = (x.columns.get_level_values(level) for level in (0, 1))
        said = [
            f"{name} ({moment}): {found.targets.iloc[k]:.3g}, patients {x.iloc[:, k].min():.3g} to {x.iloc[:, k].max():.3g}"
            for k, (name, moment) in enumerate(zip(*names, strict=True))
            if outside[k]
        ]
        raise MaicError(
            f"published values lie outside the cohort, so no weights reach them: {'; '.join(said)}."
        )
    n, m = z.shape
    equal = np.vstack(
        [np.hstack([z.T, z.sum(axis=0)[:, None]]), np.append(np.ones(n), n)]
    )  # w = v + least, v ≥ 0
    best = linprog(np.append(np.zeros(n), -1.0), A_eq=equal, b_eq=np.append(np.zeros(m), 1.0))
    if not best.success or best.x[-1] <= 1e-9 / n:
        raise MaicError(
            f"each published value lies within the cohort but not all together: no weights of these {n} patients have the means of "
            f"{', '.join(dict.fromkeys(map(str, x.columns.get_level_values(0))))} at once (outside the convex hull). Match fewer moments."
        )


def _notes(found: Moments, left_out: int, collapsed: bool, target: str) -> tuple[str, ...]:
    said = [
        f"What is matched is what was printed of {target}: other prognostic factors and effect modifiers stay as they are.",
        "The published means are taken as the target itself, without error of their own.",
        *found.notes,
    ]
    if left_out:
        said.insert(
            0,
            f"{left_out} patients without a value have no weight: results stand for patients with complete covariates.",
        )
    if collapsed:
        said.insert(
            0, "ACCEPTED although the effective sample size collapses: a few patients decide the result."
        )
    return tuple(said)
