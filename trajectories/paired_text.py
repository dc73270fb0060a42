"""The print of the paired tests."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from trajectories.printing import aligned, interval, number, p_value, sentence, years

__all__ = ["paired_notes", "paired_text"]

_HEAD = ["", "estimate", "interval", "p", "p (Holm)"]
_ESTIMATE = {"signed rank": "shift", "sign": "share higher", "paired t": "mean", "equivalence": "mean"}
_UNITS = {
    "EDSS": "EDSS points, later minus baseline (above 0: worse)",
    "relapses": "relapses a window, later minus before (below 0: fewer)",
}


def paired_text(
    tests: pd.DataFrame,
    pairs: pd.DataFrame,
    *,
    title: str,
    index_date: str,
    simulated: bool,
    notes: Sequence[str],
) -> str:
    """Write the tests arm by arm, outcome by outcome, each under the pairs it rests on, then the notes."""
    lines = sentence(title)
    if simulated:
        lines.append("SIMULATED data: nobody was treated.")
    lines += sentence(index_date)
    for (arm, outcome), block in tests.groupby(["arm", "outcome"], sort=False):
        lines += ["", f"{arm}: {_UNITS[str(outcome)]}"]
        shared = _shared_reason(block)
        if shared:
            lines += sentence(f"not tested: {shared}", bullet="  ")
            continue
        mine = pairs[(pairs["arm"] == arm) & (pairs["outcome"] == outcome)]
        for comparison, group in block.groupby("comparison", sort=False):
            row = mine[mine["comparison"] == comparison]
            lines += _friedman(group.iloc[0]) if row.empty else _comparison(row.iloc[0], group)
    lines += ["", "How to read this"]
    for note in notes:
        lines += sentence(note, bullet="- ")
    return "\n".join(lines)


def _comparison(pairs: pd.Series, tests: pd.DataFrame) -> list[str]:
    lines = [
        f"  {pairs['comparison']}: {pairs['pairs']} pairs of {pairs['patients']} patients{_left_out(pairs)}"
    ]
    shared = _shared_reason(tests)
    if shared:
        return [*lines, *sentence(f"not tested: {shared}", bullet="    ")]
    lines.append(
        f"    {pairs['higher']} higher, {pairs['same']} the same, {pairs['lower']} lower; "
        f"median {number(pairs['baseline_median'])} before, {number(pairs['later_median'])} later"
    )
    lines += aligned([_HEAD, *(_row(test) for _, test in tests.iterrows())], indent=4)
    for _, test in tests.iterrows():
        if test["reason"]:
            lines += sentence(f"{test['test']}: {test['reason']}", bullet="    ")
    return lines


def _shared_reason(tests: pd.DataFrame) -> str:
    """Return the one reason why none of the tests has a number, empty if there is none."""
    reasons = set(tests["reason"])
    return str(reasons.pop()) if len(reasons) == 1 and tests["estimate"].isna().all() else ""


def _row(test: pd.Series) -> list[str]:
    name = str(test["test"])
    level = " (90 %)" if name == "equivalence" else ""
    return [
        f"{name}, {_ESTIMATE[name]}",
        number(test["estimate"]),
        interval(test["lower"], test["upper"]) + level,
        p_value(test["p_value"]),
        p_value(test["p_holm"]),
    ]


def _left_out(pairs: pd.Series) -> str:
    reasons = {
        "no_baseline": "without a baseline",
        "no_later": "without a later value",
        "neither": "without either",
    }
    parts = [f"{pairs[column]} {words}" for column, words in reasons.items() if pairs[column]]
    return f" ({', '.join(parts)})" if parts else ""


def _friedman(test: pd.Series) -> list[str]:
    start = f"Friedman, {test['comparison']}: "
    if test["reason"]:
        return sentence(f"{start}not tested: {test['reason']}", bullet="  ")
    return sentence(
        f"{start}{test['n']} complete patients, chi-square {number(test['statistic'])}, "
        f"p {p_value(test['p_value'])}, p (Holm) {p_value(test['p_holm'])}, "
        f"Kendall's W {number(test['estimate'])}",
        bullet="  ",
    )


def paired_notes(
    *, tolerance: float, margin: float | None, exact_up_to: int, several_arms: bool, pooled: bool
) -> tuple[str, ...]:
    """Say what the tests cannot show, then how values, pairs, intervals and p-values were formed."""
    return (*_cautions(several_arms, pooled), *_methods(tolerance, margin, exact_up_to))


def _cautions(several_arms: bool, pooled: bool) -> list[str]:
    cautions = [
        "A p-value above 0.05 is not evidence of stability: few patients or noisy scores give one too.",
        "A before/after change in a single arm cannot separate the drug from regression to the mean: "
        "treatment is started after a bad year, and untreated patients chosen that way improve too.",
    ]
    if several_arms and pooled:
        cautions.append("All arms are taken together: the change is that of a mixture of treatments.")
    elif several_arms:
        cautions.append(
            "A significant change in one arm and none in another is not a difference between the arms."
        )
    return [
        *cautions,
        "Only complete pairs are tested: if those who left differ from those who stayed, this is biased.",
    ]


def _methods(tolerance: float, margin: float | None, exact_up_to: int) -> list[str]:
    methods = [
        f"EDSS: the visit nearest to the time point, within {years(tolerance)}; for the baseline only "
        "visits at or before time 0. Relapses: patients whose two windows, equally long, were completely "
        "observed. Follow-up is from the first to the last visit unless patients have followup_start and "
        "followup_end: give these if relapses were recorded for longer.",
        "Signed rank: Wilcoxon's test, zeros ranked by Pratt, two-sided, from all flips of the signs (exact, "
        f"with ties and zeros) up to {exact_up_to} pairs that changed, beyond that from the tie-corrected "
        "normal approximation. Shift: Hodges-Lehmann, the median of all Walsh averages, zeros included, with "
        "order statistics of these as interval (at least 95 %; the attained level is in the frame).",
        "Sign: exact binomial among those who changed, with the Clopper-Pearson interval (95 %). Paired t: "
        "95 % interval of the mean change.",
    ]
    if margin is not None:
        methods.append(
            f"Equivalence: two one-sided t tests of the mean EDSS change against ± {margin:g} points, the "
            "margin you stated, with the 90 % interval. p below 0.05 supports a mean change within the "
            "margin, for the group and not for each patient. Relapses are not tested for equivalence."
        )
    return [
        *methods,
        "p (Holm): adjusted within each kind of test over all outcomes, times and arms of this table.",
    ]
