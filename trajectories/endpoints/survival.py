"""Time to a rule-based event: who is at risk for how long, and the usual analyses of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.endpoints.patient_weights import Estimated, PatientWeights, with_weights
from trajectories.endpoints.survival_curves import KaplanMeier, arms_of, kaplan_meier
from trajectories.endpoints.survival_hazards import Cox, cox
from trajectories.endpoints.survival_incidence import CumulativeIncidence, cumulative_incidence
from trajectories.endpoints.survival_input import LABELS, Events, EventTime, times_to
from trajectories.endpoints.survival_partial import Ties
from trajectories.endpoints.survival_ranks import LogRank, log_rank
from trajectories.endpoints.survival_setting import Setting, few_events
from trajectories.endpoints.survival_weibull import Weibull, weibull
from trajectories.estimate import check_ci
from trajectories.printing import aligned
from trajectories.suppression import check_limit

__all__ = ["TimeTo", "time_to"]

_PIRA = (
    "Established definitions of PIRA bias a treatment effect towards none when the drug also cuts relapses "
    "(Montobbio 2025: hazard ratios from 0.83 to 0.73 by definition); the preset COMPLEMENTARY, every confirmed "
    "worsening that is not RAW, does so less."
)
_BESIDE = "Report improvement beside worsening: in trials it outnumbered PIRA throughout."


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TimeTo:
    """Times to an event, one row a patient at risk; print it to see who is in it.

    Parameters
    ----------
    table
        One row a patient at risk: `patient`, `arm`, `time` (years from the baseline visit), `event` (0/1), `cause` (which event ended
        the time at risk, or "censored"), `onset_after`, `onset_by` (years; the onset lies between them, infinite where there was no
        event), and the columns of the patients table where a cohort was given.
    causes
        The event, then those competing with it.
    setting
        Who is in it and who is not, by arm (`setting.counts`), with warnings and notes.
    estimation
        How the weights of weighted patients depend on what was estimated; None for weights taken as known, and without any.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> patients = pd.DataFrame({"patient": ["a", "b"], "arm": "x", "baseline_day": 0, "eligible_worsening": True})
    >>> patients = patients.assign(last_day=[900, 700], last_confirmable_day=[720, 530])
    >>> one = {"patient": ["a"], "kind": "worsening", "day": 360, "onset_after": 270, "onset_by": 360, "label": "PIRA"}
    >>> rule = SimpleNamespace(name="by hand")
    >>> found = SimpleNamespace(events=pd.DataFrame(one), patients=patients, rule=rule, cohort_name="two", simulated=True)
    >>> time_to(found).to_frame()[["time", "event"]].round(3)
        time  event
    0  0.862      1
    1  1.451      0
    """

    table: pd.DataFrame = field(repr=False)
    causes: tuple[str, ...]
    setting: Setting
    estimation: Estimated | None = field(default=None, repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the times, one row a patient at risk; a copy."""
        return self.table.copy()

    def weighted(self, weights: PatientWeights) -> TimeTo:
        """Return the same times of weighted patients, for every analysis of them.

        The variance of an estimate θ is Σ ψᵢ², ψᵢ = wᵢ ∂θ/∂wᵢ + φᵢ' Σⱼ ẇⱼ ∂θ/∂wⱼ: what a patient adds directly, and through the estimated
        propensities (φ the patient's influence on their parameters, ẇ the slopes of the weights in them). Weights whose estimation is not
        known (matched, by hand) are taken as known and have the first term only; prints say which.

        Parameters
        ----------
        weights
            From `tj.weights`, `tj.entropy_balance` or `tj.match`, of the same cohort. Patients without a weight, or with 0, are left out and
            counted.

        Returns
        -------
        `TimeTo` with a column `weight`. To take estimated weights as known: `times.weighted(dataclasses.replace(weights, estimation=None))`.

        Raises
        ------
        ValueError
            If nobody of the times has a weight, or patients are in another arm by the weights: those are of another cohort.
        TypeError
            If these are no weights of patients, such as a series: `tj.weights_of` makes them of one.

        References
        ----------
        Cole and Hernán 2004 (doi:10.1016/j.cmpb.2003.10.004); Austin 2016 (doi:10.1002/sim.7084); Pierce 1982 (doi:10.1214/aos/1176345788).

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> setting = Setting(event="x", rule="r", cohort_name="two", simulated=True, counts=pd.DataFrame(), warnings=(), notes=())
        >>> table = pd.DataFrame({"patient": ["a", "b"], "arm": "x", "time": [1.0, 2.0], "event": [1, 0]})
        >>> values, arm = pd.Series({"a": 1.0, "b": 3.0}), pd.Series("x", index=["a", "b"])
        >>> weights = SimpleNamespace(values=values, arm=arm, description="By hand.", caveats=(), estimation=None)
        >>> times = TimeTo(table=table, causes=("x",), setting=setting).weighted(weights)
        >>> times.kaplan_meier().at([1.5])["survival"].item()
        0.75
        """
        table, said = with_weights(self.table, weights, self.setting.suppress_below)
        lost = self.table[~self.table["patient"].isin(table["patient"])]
        setting = self.setting.without(lost, "no weight")
        setting = replace(setting, notes=(*setting.notes, *said))
        return replace(self, table=table, setting=setting, estimation=weights.estimation)

    def kaplan_meier(self, ci: float = 0.95) -> KaplanMeier:
        """Estimate by arm the share of patients without the event, S(t) = Π (1 − d/n), with numbers at risk.

        Parameters
        ----------
        ci
            Probability of the intervals (log-log, from Greenwood's standard error; with weights from the robust one).

        Returns
        -------
        `KaplanMeier`, with `.medians`, `.at(times)`, `.difference(times)` between arms, and `.restricted_mean(until)`.

        Raises
        ------
        ValueError
            If `ci` is no probability.

        References
        ----------
        Kaplan and Meier 1958 (doi:10.1080/01621459.1958.10501452).
        """
        check_ci(ci)
        return kaplan_meier(self.table, self.setting, ci=ci, estimation=self.estimation)

    def log_rank(self, *, strata: str | None = None) -> LogRank:
        """Test whether the arms have the same hazard: Σ (O − E) against its hypergeometric variance, or with weights a robust one.

        With weights O − E, of weighted patients, is the score of Cox's model at hazard ratios of 1 (ties as Breslow's), and its variance
        the sum over patients of the squares of their parts.

        Parameters
        ----------
        strata
            Column of the patients table within whose groups arms are compared, such as the centre.

        Returns
        -------
        `LogRank`.

        Raises
        ------
        ValueError
            If the column is not there or incomplete.

        References
        ----------
        Mantel 1966 (Cancer Chemother Rep 50:163-170); Peto and Peto 1972 (doi:10.2307/2344317); with weights Xie and Liu 2005
        (doi:10.1002/sim.2174), Lin and Wei 1989 (doi:10.1080/01621459.1989.10478874).
        """
        return log_rank(self.table, self.setting, strata=strata, estimation=self.estimation)

    def cox(
        self,
        covariates: Sequence[str] = ("arm",),
        *,
        ties: Ties = "efron",
        cluster: str | None = "patient",
        strata: str | None = None,
        ci: float = 0.95,
    ) -> Cox:
        """Estimate hazard ratios, h(t | x) = h₀(t) exp(xβ), with standard errors robust by cluster.

        Parameters
        ----------
        covariates
            Columns: numbers as they are, text and categories against their first level, the arm against the cohort's first.
        ties
            "efron" or "breslow": how events on the same day count. Visits fall on the same days in trials, so it matters.
        cluster
            Column whose groups may be alike, such as the centre; "patient" allows the model to be wrong; None takes standard errors
            from the information, which weighted patients do not allow. Who took part in the estimation of weights only is a cluster alone.
        strata
            Column whose groups have baseline hazards of their own.
        ci
            Probability of the intervals (Wald, of the log hazard ratio).

        Returns
        -------
        `Cox`, with a test of proportional hazards. A level without any event gets an upper limit by profile likelihood.

        Raises
        ------
        ValueError
            If a column is not there, is constant or says the same as others.

        References
        ----------
        Cox 1972 (doi:10.1111/j.2517-6161.1972.tb00899.x); Lin and Wei 1989 (doi:10.1080/01621459.1989.10478874); Grambsch and Therneau 1994
        (doi:10.1093/biomet/81.3.515).
        """
        check_ci(ci)
        return cox(
            self.table, self.setting, covariates=covariates, ties=ties, cluster=cluster, strata=strata, ci=ci,
            estimation=self.estimation,
        )  # fmt: skip

    def weibull(self, covariates: Sequence[str] | None = None, *, ci: float = 0.95) -> Weibull:
        """Fit a Weibull model to the onset, which lies between two visits, by maximum likelihood.

        With weights a patient's log-likelihood is multiplied by the weight, and standard errors are robust (sandwich).

        Parameters
        ----------
        covariates
            As for `cox`; None takes the arm if there are several.
        ci
            Probability of the intervals (Wald, on the log scale, from the observed information; with weights from the sandwich).

        Returns
        -------
        `Weibull`, with hazard ratios and time ratios.

        Raises
        ------
        ValueError
            If there is no event, the likelihood has no maximum, or a column is not usable.

        References
        ----------
        Odell, Anderson and D'Agostino 1992 (doi:10.2307/2532360).
        """
        check_ci(ci)
        several = len(arms_of(self.table)) > 1
        chosen = (("arm",) if several else ()) if covariates is None else covariates
        return weibull(self.table, self.setting, covariates=chosen, ci=ci, estimation=self.estimation)

    def cumulative_incidence(self, ci: float = 0.95) -> CumulativeIncidence:
        """Estimate by arm the share of patients who had each event first, Fⱼ(t) = Σ S(s−) dⱼ(s)/n(s).

        Parameters
        ----------
        ci
            Probability of the intervals (log-log, standard error by the delta method; with weights robust).

        Returns
        -------
        `CumulativeIncidence` of the event and of those named as competing in `time_to`, with `.at(times)` and `.difference(times)` between
        arms.

        Raises
        ------
        ValueError
            If `ci` is no probability.

        References
        ----------
        Aalen and Johansen 1978 (Scand J Stat 5:141-150).
        """
        check_ci(ci)
        return cumulative_incidence(self.table, self.setting, self.causes, ci=ci, estimation=self.estimation)

    def __str__(self) -> str:
        lines = [*self.setting.head("Time to"), "", *self.setting.count_lines()]
        years = self.table.groupby("arm", observed=False)["time"].sum()
        rows = [
            ["", *map(str, years.index), "all"],
            ["person-years", *(f"{y:.1f}" for y in [*years, years.sum()])],
        ]
        return "\n".join([*lines, "", *aligned(rows), *self.setting.foot(())])

    def __repr__(self) -> str:
        return str(self)


def time_to(
    events: Events,
    *,
    kind: str = "worsening",
    label: str | None = None,
    competing: str | Sequence[str] | pd.DataFrame | None = None,
    event_time: EventTime = "midpoint",
    cohort: Cohort | None = None,
    suppress_below: int | None = None,
) -> TimeTo:
    """Form the time from the baseline visit to the first event of each patient.

    Time at risk ends at the event, at a competing event, or at the last visit that could still have been confirmed. Censoring at the
    last visit instead counts time during which no event could have been found, and biases hazard ratios when follow-up differs between
    arms (0.52 for equal hazards in a simulation).

    Parameters
    ----------
    events
        What `disability_events` found.
    kind
        "worsening" or "improvement".
    label
        For worsening "RAW", "PIRA" or "undefined"; None takes all. Worsening with another label does not end the time at risk unless it
        is named in `competing`.
    competing
        Events that end the time at risk when they come first: the other kind, with `label` another label, or several of them; or a table
        with the columns `patient`, `day` (from the index date) and `event` (death, switch, …), of which the first of each patient counts.
    event_time
        Where between two visits an event counts. "midpoint": halfway between the last visit without the change and the first with it.
        "visit": at the visit of the event, as publications do. Since patients are censored at visits too, events at visits fall where
        those without one are leaving: with half-yearly visits ± 10 days and follow-up of 1.5 and 4 years, equal hazards gave a hazard
        ratio of 1.36 (midpoint 0.95), with irregular visits and confirmation at any later one 1.96 (0.90), and curves drop at their end.
    cohort
        Its patients table gives covariates, strata and clusters.
    suppress_below
        Hide counts from 1 to this number − 1 in prints, and others from which they could be had; None: as in `events`. Steps of curves
        show events all the same; frames hide nothing.

    Returns
    -------
    `TimeTo`. Patients not eligible or without a visit that could have been confirmed are left out and counted, by arm.

    Raises
    ------
    ValueError
        If a name is not known, nobody is at risk, or the frames contradict each other.
    """
    check_limit(suppress_below)
    hidden = getattr(events, "suppress_below", None) if suppress_below is None else suppress_below
    times = times_to(events, kind, label, competing, event_time)
    if times.table.empty:
        raise ValueError("nobody is at risk: no patient is eligible and has a visit that could be confirmed.")
    table = times.table if cohort is None else _with_covariates(times.table, cohort)
    notes = [*times.notes]
    if label is not None:
        others = [name for name in LABELS if name not in times.causes]
        notes.append(
            f"Only worsening labelled {label} counts."
            + (f" Worsening labelled {' or '.join(others)} does not end the time at risk." if others else "")
        )
    notes += [_PIRA] if label == "PIRA" else []
    notes += [_BESIDE] if kind == "worsening" else []
    setting = Setting(
        event=f"confirmed {kind}" + (f" ({label})" if label else ""),
        rule=str(events.rule.name),
        cohort_name=events.cohort_name,
        simulated=events.simulated,
        counts=times.counts,
        competing=times.causes[1:],
        timing="in the middle of the interval of their onset"
        if event_time == "midpoint"
        else "at their visit",
        warnings=(*_moved(events), *few_events(times.table.groupby("arm", observed=False)["event"].sum())),
        notes=tuple(notes),
        suppress_below=hidden,
    )
    return TimeTo(table=table, causes=times.causes, setting=setting)


def _moved(events: Events) -> list[str]:
    if getattr(events, "randomised", None) and getattr(events.rule, "moves", False):
        return [
            "the reference moves after events, so that arms which were randomised are no longer compared as such."
        ]
    return []


def _with_covariates(table: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    patients = cohort.patients
    others = patients[[c for c in patients if c == "patient" or c not in table]]
    strangers = int((~table["patient"].isin(patients["patient"])).sum())
    if strangers:
        raise ValueError(f"{strangers} patients of the events are not in the cohort '{cohort.name}'.")
    return table.merge(others, on="patient", how="left", validate="one_to_one")
