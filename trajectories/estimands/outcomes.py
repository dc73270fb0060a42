"""Stabilisation: the group's change beside a stated margin, and how many patients are worse, stable or improved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from trajectories import edss
from trajectories.caveats import converged, warning_lines
from trajectories.estimands.over_time import (
    BASELINE,
    baseline_caveats,
    change,
    change_definition,
    from_observed_baseline,
)
from trajectories.estimands.population import (
    Fitted,
    Population,
    Target,
    arms_of,
    edss_model,
    labelled_draws,
    population_of,
)
from trajectories.estimate import Estimate, Question, check_ci, rounded
from trajectories.models.base import EdssModel
from trajectories.models.blocks.averaging import flat, some_samples
from trajectories.models.design import Floats

__all__ = ["Stabilisation", "stabilisation"]

OUTCOMES = ("worse", "stable", "improved")
BASES = ("expected change", "two visits")
PATIENTS = "patients worse, stable, improved"
JUDGED = "judged by the patient's expected change and by two visits"

NO_PATIENT_SLOPE = (
    "no patient effect of the formula changes with time, so the model expects the same change of everybody in an arm (up to covariates "
    "and the curvature of the scale): judged by expected change, all or none may look stable, whatever the patients did; add years to the "
    "patient part, '(1 + years | patient)', or read the shares at two visits"
)

# New patients a draw: quasi-random points, the same for all arms and draws; their error is below 0.005 in a probability.
_PATIENTS = 512
_CHUNK = 100


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Stabilisation:
    """Whether disability stabilised by a time, in the group and in patients; made by `stabilisation`.

    Parameters
    ----------
    change
        The group's change in expected EDSS: chain × draw × arm.
    patients
        Probabilities that a new patient is worse, stable or improved: chain × draw × arm × basis × outcome. Basis "expected change"
        judges the change of the patient's expected EDSS by the rule; "two visits" judges what one visit at each time would show,
        which fluctuates, so fewer look stable.
    at, since
        Years since the index date.
    margin
        EDSS points within which a group's change counts as stable: the user's statement.
    rule
        Who counts as worse or improved.
    untreated_drift
        The change that untreated patients are held to have, in EDSS points; None if none was stated.
    """

    change: Estimate
    patients: Estimate
    at: float
    since: float
    margin: float
    rule: edss.ChangeRule
    untreated_drift: float | None = None

    @property
    def title(self) -> str:
        """What is answered."""
        return f"stabilisation from {self.since:g} to {self.at:g} years"

    @property
    def estimates(self) -> Mapping[str, Estimate]:
        """The change and each patient probability on its own, by name."""
        return self.parts(self.change, self.patients)

    def parts(self, change: Estimate, patients: Estimate) -> Mapping[str, Estimate]:
        """A change and probabilities of patients, or contrasts of them, each on its own, by name."""
        parts = {"change": change}
        for basis in BASES:
            for outcome in OUTCOMES:
                parts[f"{outcome} ({basis})"] = replace(
                    patients,
                    name=patients.name.replace(PATIENTS, f"probability of {outcome} ({basis})"),
                    draws=patients.draws.sel(basis=basis, outcome=outcome, drop=True),
                    definition=patients.definition.replace("worse, stable or improved", outcome).replace(
                        JUDGED, f"judged by {basis}"
                    ),
                    asked=None,
                )
        return parts

    def summary(self, ci: float = 0.95) -> pd.DataFrame:
        """Summarise by arm: the change with its interval, and how probable stability is under the stated margin.

        Parameters
        ----------
        ci
            Probability of the equal-tailed interval.

        Returns
        -------
        A frame, one row an arm: `change`, `lower`, `upper` (EDSS points), Pr(|change| < margin), Pr(change < margin), Pr(change < 0), Pr(change
        < drift) where a drift was stated, then the probabilities of a patient being worse, stable, improved at two visits. Where the
        sampler did not converge a column `converged` is False.
        """
        check_ci(ci)
        base = self.change.summary(ci)
        frame = base[["mean", "lower", "upper"]].rename(columns={"mean": "change"})
        for label, bounds in self._events().items():
            frame[label] = self.change.probability(**bounds)
        seen = self.patients.draws.sel(basis="two visits").mean(("chain", "draw"), skipna=False)
        for outcome in OUTCOMES:
            frame[f"patients {outcome}"] = seen.sel(outcome=outcome).to_series()
        if not converged(self.change.caveats):
            frame["converged"] = False
        frame.attrs.update({str(key): value for key, value in base.attrs.items()})
        frame.attrs["caveats"] = list(dict.fromkeys((*self.change.caveats, *self.patients.caveats)))
        frame.attrs.update(margin=self.margin, untreated_drift=self.untreated_drift, rule=self.rule.name)
        return frame

    def _events(self) -> dict[str, dict[str, float]]:
        events = {
            f"Pr(|change| < {self.margin:g})": {"within": self.margin},
            f"Pr(change < {self.margin:g})": {"below": self.margin},
            "Pr(change < 0)": {"below": 0.0},
        }
        if self.untreated_drift is not None:
            events[f"Pr(change < drift {self.untreated_drift:g})"] = {"below": self.untreated_drift}
        return events

    def curve(self, margins: Sequence[float] | None = None) -> pd.DataFrame:
        """Show how the probability of stability depends on the margin, as no margin is beyond dispute.

        Parameters
        ----------
        margins
            EDSS points; None for 0 to 1.5 in steps of 0.05.

        Returns
        -------
        A long frame: `arm`, `margin`, `within` (Pr(|Δ| < margin)), `no_worsening` (Pr(Δ < margin)), and `converged` as in `summary`.
        """
        steps = np.arange(0.05, 1.5001, 0.05) if margins is None else np.asarray(margins, dtype=float)
        parts = [
            pd.DataFrame(
                {
                    "arm": self.change.draws["arm"].to_numpy(),
                    "margin": margin,
                    "within": self.change.probability(within=float(margin)).to_numpy(),
                    "no_worsening": self.change.probability(below=float(margin)).to_numpy(),
                }
            )
            for margin in steps
        ]
        frame = pd.concat(parts, ignore_index=True).sort_values(
            ["arm", "margin"], kind="stable", ignore_index=True
        )
        return frame if converged(self.change.caveats) else frame.assign(converged=False)

    def __str__(self) -> str:
        summary = self.summary()
        drift = (
            "no untreated drift was stated: a small change may be what would have come without the drug"
            if self.untreated_drift is None
            else f"untreated drift, as stated: {self.untreated_drift:+g} EDSS points"
        )
        chances = self.patients.summary()[["mean", "lower", "upper"]].round(3)
        notes = "".join(f"\n  - {note}" for note in summary.attrs["caveats"])
        return (
            f"{warning_lines(self.change.caveats)}{self.title}\n  {self.change.definition}\n"
            f"  margin, as stated: {self.margin:g} EDSS points; {drift}\n"
            f"{rounded(summary.iloc[:, : 3 + len(self._events())]).to_string()}\n"
            f"  lower, upper: {summary.attrs['interval']}\n"
            f"Patients worse, stable, improved by rule {self.rule.name} (change not confirmed at a later visit)\n"
            f"{chances.to_string()}{notes}"
        )

    def __repr__(self) -> str:
        return str(self)


def stabilisation(
    fit: Fitted,
    *,
    at: float,
    margin: float,
    since: float = 0.0,
    rule: edss.ChangeRule = edss.TRIAL,
    untreated_drift: float | None = None,
    target: Target = "everyone",
    seed: int = 0,
) -> Stabilisation:
    """Estimate how probable it is that disability stabilised, against a margin that you state.

    In the group: draws of Δ_a(t), and Pr(|Δ| < m), Pr(Δ < m), Pr(Δ < 0). In patients: for u ~ N(0, Σ) and covariates of the target,
    P(worse), P(stable), P(improved) by a rule, once for E[EDSS | u] at both times and once for what two visits would show; with
    `edss_baseline` in the formula and since = 0 both are judged against the observed baseline EDSS of the target's patients.
    A p-value above 0.05 is no such statement, and Pr(|Δ| < m) depends on m: `curve` shows how. E[EDSS | u] needs a patient effect of
    time, `(1 + years | patient)`: with `(1 | patient)` alone it changes alike in everybody of an arm, and the result says so.

    Parameters
    ----------
    fit
        A `Fit` or `PointFit` of an EDSS model.
    at, since
        Years since the index date.
    margin
        EDSS points within which a group's mean change counts as stable; there is no default.
    rule
        Who counts as worse or improved: `edss.TRIAL`, `edss.MSBASE`, `edss.CARE_MS` or your own.
    untreated_drift
        The change in EDSS points to hold against it, from untreated or earlier patients.
    target, seed
        As in `expected_edss`; the seed also sets the quasi-random patients. The probabilities of patients take the target population as it is,
        without a bootstrap of it.

    Returns
    -------
    A `Stabilisation`.

    Raises
    ------
    ValueError
        If the margin is not positive or the times are equal.

    Source: the contrast with a p-value is that of Altman and Bland (1995), BMJ 311:485, doi:10.1136/bmj.311.7003.485.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> model = models.GaussianMixed("edss ~ years + (1 | patient)")
    >>> fit = tj.maximise(model, tj.simulated_alemtuzumab_35())
    >>> tj.stabilisation(fit, at=2.0, margin=1.0).summary()[["change", "Pr(|change| < 1)"]].round(1)
         change  Pr(|change| < 1)
    arm
    all     0.5               1.0
    """
    if not (np.isfinite(margin) and margin > 0):
        raise ValueError(f"margin must be a positive number of EDSS points, not {margin}.")
    if at == since:
        raise ValueError(f"at and since must differ; both are {at:g} years.")
    group = change(fit, at, since=since, target=target, seed=seed)
    whole = Estimate(
        name=group.name, draws=group.draws.isel(years=0, drop=True), unit=group.unit, source=group.source, caveats=group.caveats,
        null=0.0, higher_is_worse=True,
        definition=change_definition(population_of(fit, target, seed), f"{at:g} years", since),
        asked=group.asked,
    )  # fmt: skip
    return Stabilisation(
        change=whole,
        patients=_patients(fit, at=at, since=since, rule=rule, target=target, seed=seed),
        at=at,
        since=since,
        margin=margin,
        rule=rule,
        untreated_drift=untreated_drift,
    )


def _patients(
    fit: Fitted, *, at: float, since: float, rule: edss.ChangeRule, target: Target, seed: int
) -> Estimate:
    """Probabilities that a new patient is worse, stable or improved: chain × draw × arm × basis × outcome."""
    model = edss_model(fit)
    parameters, people = fit.draws(seed=seed), population_of(fit, target, seed)
    arms = arms_of(fit.design)
    cells = np.stack(
        [_chances(people, model, parameters, arm, (since, at), rule, seed) for arm in arms], axis=1
    )
    start = "the observed baseline EDSS" if from_observed_baseline(fit.design, since) else f"{since:g}"
    return Estimate(
        name=PATIENTS,
        draws=labelled_draws(
            cells, parameters, {"arm": arms, "basis": list(BASES), "outcome": list(OUTCOMES)}
        ),
        unit="probability",
        definition=(
            f"Probability that a new patient like {people.words} is worse, stable or improved from {start} to {at:g} years by "
            f"rule {rule.name}, {JUDGED}."
        ),
        source=fit.description,
        caveats=(*fit.caveats, *baseline_caveats(fit.design, since), *_without_slope(people, (since, at))),
        asked=Question(
            verb=_patients,
            fit=fit,
            options={"at": at, "since": since, "rule": rule, "target": target, "seed": seed},
        ),
    )


def _without_slope(people: Population, times: tuple[float, float]) -> tuple[str, ...]:
    """Say so if the patient effects move both times alike, which makes the expected change the same for everybody."""
    if from_observed_baseline(people.design, times[0]):
        return ()
    first, second = (people.at(people.design.arms[0], t)[0].Z for t in times)
    return (NO_PATIENT_SLOPE,) if np.array_equal(first, second) else ()


def _chances(
    people: Population,
    model: EdssModel,
    parameters: xr.Dataset,
    arm: str,
    times: tuple[float, float],
    rule: edss.ChangeRule,
    seed: int,
) -> Floats:
    """Probabilities of the outcomes in one arm: samples × basis × outcome."""
    design = people.design
    standard, shared, shares = _new_patients(len(design.effects), seed)
    chosen = people.rows.iloc[people.place(shares)].reset_index(drop=True)
    observed = chosen[BASELINE].to_numpy() if from_observed_baseline(design, times[0]) else None
    first, second = (design.at(design.placed(chosen, arm, t)) for t in times)
    covariance = flat(parameters["patient_covariance"])
    size = len(covariance)
    result = np.empty((size, len(BASES), len(OUTCOMES)))
    for start in range(0, size, _CHUNK):
        part = slice(start, start + _CHUNK)
        subset = some_samples(parameters, part)
        effects = np.einsum("sij,pj->spi", _root(covariance[part]), standard)
        if observed is None:
            visits = model.levels_at_two_visits(subset, (first, second), effects, shared, times[1] - times[0])
            expected = [model.conditional_edss(subset, m, effects) for m in (first, second)]
        else:
            after = model.conditional_edss(subset, second, effects)
            visits = _certain(observed, len(after)), model.conditional_levels(subset, second, effects)
            expected = [np.broadcast_to(observed, after.shape), after]
        result[part] = _judged(visits, expected, rule)
    return result


def _certain(values: Floats, samples: int) -> Floats:
    """Level probabilities of observed EDSS values: samples × values × 20."""
    levels = np.eye(len(edss.LEVELS))[edss.code(values)]
    return np.broadcast_to(levels, (samples, *levels.shape))


def _judged(visits: tuple[Floats, Floats], expected: list[Floats], rule: edss.ChangeRule) -> Floats:
    """Shares of the patients judged by the rule, by expected EDSS and by levels at two visits: samples × basis × outcome."""
    before, after = visits
    worse = rule.worse(*expected).mean(axis=1)
    improved = rule.improved(*expected).mean(axis=1)
    pairs = edss.LEVELS[:, None], edss.LEVELS[None, :]
    seen_worse, seen_improved = (
        np.einsum("spk,kl,spl->s", before, table.astype(float), after, optimize=True) / before.shape[1]
        for table in (rule.worse(*pairs), rule.improved(*pairs))
    )
    rows = [[w, 1 - w - i, i] for w, i in ((worse, improved), (seen_worse, seen_improved))]
    return np.moveaxis(np.array(rows), -1, 0)


def _new_patients(effects: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Quasi-random patients: standard normal effects (points × effects) and shared scores (points), places in the target (points; 0 to 1)."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    points = qmc.Sobol(d=effects + 2, rng=seed).random(_PATIENTS)
    normal = ndtri(np.clip(points[:, :-1], 1e-12, 1 - 1e-12))
    return normal[:, :-1], normal[:, -1], points[:, -1]


def _root(covariance: Floats) -> Floats:
    """A square root of covariances that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    scaled = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    # The symmetric one: it moves smoothly with the covariance, so that the same quasi-random patients serve all draws.
    return np.asarray(scaled @ vectors.transpose(0, 2, 1))
