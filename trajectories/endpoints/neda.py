"""No evidence of disease activity (NEDA-3, NEDA-2): who has it, who has not, and who cannot be judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.endpoints.events import disability_events
from trajectories.endpoints.groups import patient_groups
from trajectories.endpoints.neda_groups import activity_table, group_table, reason_table
from trajectories.endpoints.neda_patients import COMPONENTS, patient_answers
from trajectories.endpoints.neda_text import neda_notes, neda_text, neda_title
from trajectories.endpoints.neda_weighted import share_differences, weighted_shares
from trajectories.endpoints.patient_weights import PatientWeights, WeightedPatients, weighted_cohort
from trajectories.endpoints.persons import episode_notes
from trajectories.endpoints.rules import DisabilityRule
from trajectories.endpoints.survival_differences import reference_place
from trajectories.endpoints.survival_steps import Floats
from trajectories.estimate import check_ci
from trajectories.suppression import check_limit

__all__ = ["Neda3", "neda3"]

_WEIGHTED = (
    "Weighted among evaluable: Σ w NEDA / Σ w evaluable, with limits on the logit scale. The limits of a difference are made of those of "
    "the two groups, squared and added, less what the two have in common (Zou 2007)."
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Neda3:
    """Answers of `neda3`: NEDA, activity, or not evaluable; printing it gives the proportions and what biases them.

    Parameters
    ----------
    groups_table
        One row a group, the frame of `to_frame()`.
    patients_table
        One row a patient, the frame of `by_patient()`.
    activity_table
        One row a group and kind of activity, the frame of `activity()`.
    reasons_table
        One row a group and reason, the frame of `why_not_evaluable()`.
    title, index_date, simulated
        What was asked, what time 0 is, and whether nobody was treated.
    rule_name
        Name of the rule for worsening; empty if worsening was not asked for.
    components
        What was asked for.
    at, mri_from
        Years from time 0 to which the answer holds, and from which lesions count.
    ci
        Level of the intervals.
    notes
        Sentences on what the numbers mean and what was left out.
    influences
        Of weighted patients, by group: on the share among evaluable and on Kaplan-Meier's (patients × 2); empty without weights.
    """

    groups_table: pd.DataFrame = field(repr=False)
    patients_table: pd.DataFrame = field(repr=False)
    activity_table: pd.DataFrame = field(repr=False)
    reasons_table: pd.DataFrame = field(repr=False)
    title: str
    index_date: str
    simulated: bool
    rule_name: str
    components: tuple[str, ...]
    at: float
    mri_from: float
    ci: float
    notes: tuple[str, ...]
    influences: Mapping[str, Floats] = field(default_factory=dict, repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a group; a copy.

        Columns: `group`, `patients`, `neda`, `active`, `not_evaluable`, `evaluable` (counts), `proportion` (NEDA among
        evaluable), `lower`, `upper` (Wilson), `lowest`, `highest` (bounds: all not evaluable active, all NEDA), `km`,
        `km_lower`, `km_upper` (Kaplan-Meier at `at`), `km_at_risk` (patients at risk at the end), `suppressed`. With weights the shares are
        weighted, with robust standard errors (`lower`, `upper` on the logit scale), and the counts are of patients all the same.
        """
        return self.groups_table.copy()

    def difference(self, *, reference: str | None = None) -> pd.DataFrame:
        """Compare the shares of groups, p_group − p_reference.

        Parameters
        ----------
        reference
            The group others are compared with; None takes the first.

        Returns
        -------
        Two rows a group other than the reference: `group`, `reference`, `of` ("among evaluable" or "Kaplan-Meier"), `difference`, `lower`,
        `upper`, `suppressed`. The limits are made of those of the two groups (squared and added; unweighted among evaluable this is Newcombe's
        interval), with the correlation of the two where weights were estimated together; missing where one is.

        Raises
        ------
        ValueError
            If there is one group only, or the reference is not known.

        References
        ----------
        Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I); Zou 2007
        (doi:10.1037/1082-989X.12.4.399).
        """
        place = reference_place(self.groups_table["group"].tolist(), reference)
        return share_differences(self.groups_table, self.influences, place)

    def by_patient(self) -> pd.DataFrame:
        """Return one row a patient; a copy, with identifiers.

        Columns: `patient`, `arm`, `answer` ("NEDA", "activity", "not evaluable"), `first` (the activity seen first,
        several if on one day), `first_day`, `relapse_day`, `worsening_day`, `gadolinium_day`, `new_t2_day` (first day of
        each, missing if none), `why_not` (what is missing for an answer; empty if evaluable), `years_observed` (time in the
        Kaplan-Meier estimate: to the first activity, or as long as everything asked for was looked at),
        `ended_by_activity` (whether activity ended it).
        """
        return self.patients_table.copy()

    def activity(self) -> pd.DataFrame:
        """Return one row a group and kind of activity: `patients` with it, and `first` seen; a copy.

        A patient may have several kinds, and several first on one day.
        """
        return self.activity_table.copy()

    def why_not_evaluable(self) -> pd.DataFrame:
        """Return one row a group and reason: `patients` who lack it; a copy. A patient may have several reasons."""
        return self.reasons_table.copy()

    def __str__(self) -> str:
        return neda_text(
            self.groups_table,
            self.activity_table,
            self.reasons_table,
            title=self.title,
            index_date=self.index_date,
            simulated=self.simulated,
            at=self.at,
            ci=self.ci,
            notes=self.notes,
            differences=self._differences(),
        )

    def _differences(self) -> pd.DataFrame | None:
        if not self.influences:
            return None
        return self.difference() if len(self.groups_table) > 1 else pd.DataFrame()

    def __repr__(self) -> str:
        return str(self)


def neda3(
    cohort: Cohort,
    rule: DisabilityRule | None = None,
    *,
    at: float = 2.0,
    mri_from: float = 0.0,
    components: Sequence[str] = COMPONENTS,
    tolerance: float = 0.25,
    by: str | None = "arm",
    weights: PatientWeights | None = None,
    ci: float = 0.95,
    suppress_below: int | None = None,
) -> Neda3:
    """Say who has no evidence of disease activity: no relapse, no confirmed worsening, no new lesion.

    What is missing does not count the same both ways. Any activity seen decides, however much else is missing; without
    activity a patient has NEDA only if everything was looked at to the end, and is not evaluable otherwise. So activity
    makes patients evaluable and its absence does not, and NEDA / evaluable is too low even if those who are lost are
    like the others. Beside it stand the bounds, in which all not evaluable patients are active or all have NEDA,
    and the Kaplan-Meier estimate of being free of activity, in which they are censored.

    Parameters
    ----------
    cohort
        The patients, with the tables that `components` need.
    rule
        What counts as confirmed worsening; None takes `DisabilityRule()`. Its onset must lie after time 0 and at or
        before the end.
    at
        End of the window in years from time 0.
    mri_from
        From which year on lesions count, for drugs that take time to work. The scan nearest to it (within
        `tolerance`) is the new baseline: its lesions do not count, those after it do, and without such a scan new T2
        lesions do not count and a patient without other activity is not evaluable. 0: all scans after time 0 count.
    components
        What counts as activity: some of "relapse", "worsening" and "mri". The first two are NEDA-2.
    tolerance
        How far from `at`, in years, follow-up may end and the visit and scan may be that stand for it. The last within
        this time before the end, else the first after it, is looked at, and what it shows counts.
    by
        Column of the patients to group by; None takes all together.
    weights
        From `tj.weights`, `tj.entropy_balance` or `tj.match`, of the same cohort: shares are Σ w NEDA / Σ w evaluable, curves weighted
        alike, with robust standard errors that allow for the estimation of the weights where it is known. Patients without a weight are
        left out and counted. For `by="arm"`.
    ci
        Level of the intervals.
    suppress_below
        Hide counts from 1 to this minus 1, and what would give them away; None hides nothing.

    Returns
    -------
    `Neda3`: `.to_frame()` by group, `.by_patient()`, `.activity()`, `.why_not_evaluable()`; print it to read it.

    Raises
    ------
    ValueError
        If the cohort lacks a table that a component needs (the message offers what is possible), or a time, level or
        component is not usable, or patients are in another arm by the weights.
    TypeError
        If the weights are none of patients, such as a series.

    Notes
    -----
    Relapses count from day 0 to the day before the end, as in `relapse_windows`, also those outside follow-up. Scans
    are read for new T2 lesions if the cohort has `new_t2`, otherwise for gadolinium; gadolinium-enhancing lesions
    are activity either way. Worsening at the last visits that nobody could confirm or refute makes a patient
    without other activity not evaluable.

    References
    ----------
    Wilson 1927 (doi:10.1080/01621459.1927.10502953); Kaplan and Meier 1958 (doi:10.1080/01621459.1958.10501452).

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> days = [0, 180, 360, 540, 730]
    >>> visits = pd.DataFrame({"patient": list("aaaaabbbbbcc"), "day": [*days, *days, 0, 300], "edss": 2.0})
    >>> relapses = pd.DataFrame({"patient": ["b"], "day": [100]})
    >>> scans = pd.DataFrame({"patient": list("abc"), "day": [730, 720, 300], "new_t2": 0})
    >>> answers = neda3(read_cohort(visits, relapses=relapses, mri=scans))
    >>> answers.by_patient()["answer"].tolist()
    ['NEDA', 'activity', 'not evaluable']
    >>> answers.to_frame().loc[0, ["proportion", "lowest", "highest"]].round(2).tolist()
    [0.5, 0.33, 0.67]
    """
    chosen = _checked(cohort, components)
    _check_numbers(at, mri_from, tolerance, ci)
    check_limit(suppress_below)
    weighted: WeightedPatients | None = None
    said: tuple[str, ...] = ()
    if weights is not None:
        cohort, weighted, said = weighted_cohort(cohort, by, weights, suppress_below)
    events = None
    rule_name = ""
    if "worsening" in chosen:
        rule = DisabilityRule() if rule is None else rule
        if "worsening" not in rule.kinds:
            raise ValueError(f"rule: {rule.name} finds no worsening; its kinds are {', '.join(rule.kinds)}.")
        events, rule_name = disability_events(cohort, rule), rule.name
    groups = patient_groups(cohort, by)
    patients = patient_answers(
        cohort, events, at=at, mri_from=mri_from, tolerance=tolerance, components=chosen
    )
    shares: pd.DataFrame | None = None
    influences: dict[str, Floats] = {}
    if weighted is not None:
        shares, influences = weighted_shares(patients, groups, weighted, ci=ci)
    table = group_table(patients, groups, ci=ci, suppress_below=suppress_below, weighted=shares)
    return Neda3(
        groups_table=table,
        patients_table=patients,
        activity_table=activity_table(patients, groups, chosen, suppress_below=suppress_below),
        reasons_table=reason_table(patients, groups, suppress_below=suppress_below),
        title=neda_title(cohort, chosen, at=at, mri_from=mri_from),
        index_date=cohort.index_date,
        simulated=cohort.simulated,
        rule_name=rule_name,
        components=chosen,
        at=float(at),
        mri_from=float(mri_from),
        ci=ci,
        notes=(
            *neda_notes(cohort, chosen, rule_name=rule_name, tolerance=tolerance, mri_from=mri_from),
            *groups.note(),
            *episode_notes(cohort.patients, suppress_below),
            *((_WEIGHTED,) if weighted is not None else ()),
            *said,
        ),
        influences=influences,
    )


def _checked(cohort: Cohort, components: Sequence[str]) -> tuple[str, ...]:
    given = [components] if isinstance(components, str) else list(components)
    unknown = [component for component in given if component not in COMPONENTS]
    if unknown or not given or len(set(given)) < len(given):
        raise ValueError(
            f"components must be some of {', '.join(map(repr, COMPONENTS))}, each once, not {components!r}."
        )
    lacking = {"relapse": cohort.relapses_table is None, "mri": cohort.mri_table is None}
    missing = [component for component in given if lacking.get(component, False)]
    if missing:
        tables = {"relapse": "relapses", "mri": "mri"}
        possible = tuple(c for c in COMPONENTS if c in given and c not in missing)
        offer = (
            f", or ask for less, which is another endpoint and must be called so: components={possible!r}"
            + (" (NEDA-2)" if possible == ("relapse", "worsening") else "")
            if possible
            else ""
        )
        raise ValueError(
            f"NEDA with {' and '.join(given)} is not possible: the cohort has no table of "
            f"{' and '.join(tables[c] for c in missing)}. Give "
            f"{' and '.join(tables[c] + '=' for c in missing)} to read_cohort{offer}."
        )
    return tuple(component for component in COMPONENTS if component in given)


def _check_numbers(at: float, mri_from: float, tolerance: float, ci: float) -> None:
    if not (math.isfinite(at) and at > 0):
        raise ValueError(f"at must be a positive number of years, not {at!r}.")
    if not (math.isfinite(tolerance) and 0 <= tolerance < at):
        raise ValueError(f"tolerance must be years from 0 to less than at ({at:g}), not {tolerance!r}.")
    if not 0 <= mri_from < at:
        raise ValueError(f"mri_from must be years from 0 to less than at ({at:g}), not {mri_from!r}.")
    if mri_from and mri_from + tolerance >= at - tolerance:
        raise ValueError(
            f"mri_from ({mri_from:g}) and at ({at:g}) are less than two tolerances of {tolerance:g} years apart: "
            "one scan could stand for both."
        )
    check_ci(ci)
