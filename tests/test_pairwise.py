"""Pairwise censoring: random cohorts against a walk day by day and set by set, and simulated trials whose on-treatment effect is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories.comparison.following import followed_in_sets
from trajectories.weighting import match, propensity

HORIZON = 2500  # days; after every course and the end of every observation
LASTING = {"cladribine": 500}


def last_day(courses, drugs, washout, ignored):
    """Walk from day to day: the last on which the arm's drug still counts, and why; courses are (drug, start, stop)."""
    covered = [False] * (HORIZON + 1)
    for drug, start, stop in courses:
        if drug not in drugs:
            continue
        if np.isnan(stop):
            stop = start if drug in LASTING else HORIZON
        end = stop + LASTING.get(drug, washout)
        for day in range(max(0, int(start)), min(HORIZON, int(end)) + 1):
            covered[day] = True
    day = covered.index(True)
    while day < HORIZON and covered[day + 1]:
        day += 1
    switches = [start for drug, start, _ in courses if drug not in drugs and drug not in ignored]
    for today in range(1, day + 1):
        if today in switches:
            return today, "switched"
    return day, "effect over" if set(drugs) & set(LASTING) else "stopped"


def random_cohort(rng, n):
    """Patients of two arms with one to four courses of three drugs and steroids, visits, relapses and a covariate."""
    names = [f"p{i:03d}" for i in range(n)]
    own = rng.choice(["fingolimod", "cladribine"], n)
    rows, visits, relapses, ends = [], [], [], {}
    for name, drug in zip(names, own, strict=True):
        start = int(rng.choice([-40, 0, 0, 0, 15]))
        short = drug in LASTING
        rows.append((name, drug, start, start + int(rng.integers(4, 8) if short else rng.integers(20, 900))))
        if not short and rng.random() < 0.3:  # nobody knows of an end
            rows[-1] = (name, drug, start, np.nan)
        while rng.random() < 0.5:
            other = str(rng.choice([drug, drug, "ocrelizumab", "methylprednisolone"]))
            begin = int(rng.integers(-100, 900))
            long = other == "ocrelizumab" or (other == drug and not short)
            rows.append((name, other, begin, begin + int(rng.integers(1, 400) if long else 5)))
        ends[name] = int(rng.integers(300, 1200))
        days = {0, *rng.integers(-50, ends[name], 9).tolist()}
        visits += [(name, day, float(rng.choice([1.0, 2.5, 4.0]))) for day in sorted(days)]
        relapses += [(name, int(day)) for day in np.unique(rng.integers(-50, ends[name], 4))]
    people = pd.DataFrame({"patient": names, "arm": own, "age": rng.normal(40, 9, n).round(1)})
    people["followup_start"], people["followup_end"] = -60, people["patient"].map(ends)
    courses = pd.DataFrame(rows, columns=["patient", "drug", "start", "stop"])
    cohort = tj.read_cohort(
        pd.DataFrame(visits, columns=["patient", "day", "edss"]), patients=people, treatments=courses,
        relapses=pd.DataFrame(relapses, columns=["patient", "day"]), name="made up",
    )  # fmt: skip
    return cohort, rows, ends


@pytest.mark.parametrize("seed", range(12))
def test_sets_end_together_as_a_walk_from_day_to_day_finds(seed):
    rng = np.random.default_rng(seed)
    cohort, courses, observed = random_cohort(rng, 80)
    washout, ignored = int(rng.choice([0, 30, 90])), ("methylprednisolone",) if seed % 2 else ()
    strategy = tj.OnTreatment(
        duration={drug: tj.Duration(days=days) for drug, days in LASTING.items()},
        washout=tj.Duration(days=washout), ignored=ignored,
    )  # fmt: skip
    matches = match(
        propensity(cohort, "arm ~ age"), treated="cladribine", control="fingolimod", ratio=1 + seed % 3, caliper=1.0
    )  # fmt: skip
    made, ends = followed_in_sets(cohort, matches, strategy)
    arm = cohort.patients.set_index("patient")["arm"].astype(str)
    expected = {}
    for _, members in matches.sets.groupby("set")["patient"]:
        mine = {}
        for patient in members:
            own = [row[1:] for row in courses if row[0] == patient]
            day, why = last_day(own, (arm[patient],), washout, ignored)
            mine[patient] = (
                (day, why) if day < observed[patient] else (observed[patient], "end of observation")
            )
        first = min(day for day, _ in mine.values())
        for patient, (day, why) in mine.items():
            expected[patient] = (first, why if day == first else "first of the matched set ended")
    found = ends.set_index("patient")
    assert {p: (int(found["day"][p]), found["reason"][p]) for p in found.index} == expected
    for name in ("visits", "relapses"):
        rows, kept = getattr(cohort, name), getattr(made, name)
        due = [
            (p, d)
            for p, d in zip(rows["patient"], rows["day"], strict=True)
            if p in expected and d <= expected[p][0]
        ]
        assert list(zip(kept["patient"], kept["day"], strict=True)) == due
    assert len(set(found["reason"])) >= 4  # the random cohorts do reach the branches


def stopping(n, seed, *, falls=0.0, stops="evenly"):
    """Relapses of two arms, those of `new` 0.7 as likely in every month of 31 days, over three years; `new` is stopped sooner.

    Relapses go with a severity x known at baseline and by `falls` a year; `new` is stopped evenly, by baseline x, or after relapses.
    """
    rng = np.random.default_rng(seed)
    new, months = np.arange(4 * n) < n, np.arange(35)
    # the worse get `new` more often: arms must be matched before anything is compared
    x = rng.normal(np.where(new, 0.3, 0.0), 0.7)
    chance = 0.06 * np.exp(0.8 * x[:, None] - falls * months / 12) * np.where(new, 0.7, 1.0)[:, None]
    # whoever has them more often without being known for it at baseline
    chance = chance * rng.gamma(1.0, 1.0, (len(x), 1)) if stops == "after relapses" else chance
    relapsed = rng.random(chance.shape) < chance
    monthly = {
        "evenly": np.full(chance.shape, 0.04),
        "by x": np.broadcast_to(0.03 * np.exp(1.5 * x)[:, None], chance.shape),
        "after relapses": np.where(relapsed, 0.5, 0.01),
    }[stops]  # fmt: skip
    stopped = rng.random(chance.shape) < np.where(new[:, None], monthly, 0.004)
    stop = np.where(stopped.any(axis=1), 31.0 * stopped.argmax(axis=1) + 20, np.nan)
    ids = np.array([f"p{i:04d}" for i in range(len(x))])
    who, month = np.nonzero(relapsed)
    arm = np.where(new, "new", "old")
    cohort = tj.read_cohort(
        pd.DataFrame({"patient": ids, "day": 0, "edss": 2.0}),
        patients=pd.DataFrame({"patient": ids, "arm": arm, "x": x, "followup_start": 0, "followup_end": 1084}),
        relapses=pd.DataFrame({"patient": ids[who], "day": 31 * month + 10}),
        treatments=pd.DataFrame({"patient": ids, "drug": arm, "start": 0, "stop": stop}), name="made up",
    )  # fmt: skip
    return cohort, match(propensity(cohort, "arm ~ x"), treated="new", control="old", caliper=0.05)


def rate_ratio(cohort, sets):
    """Relapses over years, new against old, with the standard error of its log by matched set."""
    rows = tj.relapse_windows(cohort, (0, None))
    arm = rows["patient"].map(cohort.patients.set_index("patient")["arm"].astype(str))
    rate = rows["relapses"].groupby(arm).sum() / rows["exposure"].groupby(arm).sum()
    d = (rows["relapses"] - arm.map(rate) * rows["exposure"]) / arm.map(rows["relapses"].groupby(arm).sum())
    d *= np.where(arm == "new", 1, -1)
    own = d.groupby(rows["patient"].map(sets)).sum()
    return float(np.log(rate["new"] / rate["old"])), float(np.sqrt((own**2).sum()))


def biases(**how):
    """Mean distance of the log rate ratio from the truth over eight trials: had nobody stopped, plain and pairwise; and standard errors."""
    found = []
    for seed in range(8):
        cohort, matches = stopping(1000, seed, **how)
        sets = matches.sets.set_index("patient")["set"]
        matched = cohort.only([patient for patient in cohort.patients["patient"] if patient in sets.index])
        made = (
            matched,
            tj.follow(matched, tj.OnTreatment()),
            tj.pairwise_censored(cohort, matches, tj.OnTreatment()),
        )
        found.append([rate_ratio(one, sets) for one in made])
    values = np.array(found)
    bias = values[..., 0].mean(axis=0) - np.log(0.7)
    return bias, np.sqrt((values[..., 1] ** 2).sum(axis=0)) / len(values)


@pytest.mark.parametrize(("how", "side"), [({"stops": "by x"}, -1), ({"falls": 0.8}, 1)])
def test_pairs_give_the_effect_on_treatment_that_plain_censoring_misses(how, side):
    """If the worse at baseline stop, and if relapses become fewer in time and one arm stops sooner."""
    (whole, plain, paired), error = biases(**how)
    assert abs(whole) < 2 * error[0]
    assert side * plain > 0.15
    assert abs(paired) < 2 * error[2]


def test_pairs_do_not_help_where_stopping_follows_the_course():
    """The limit that the docstring states: those who stay are chosen by what came after baseline, their partners are not."""
    (whole, plain, paired), error = biases(stops="after relapses")
    assert abs(whole) < 2 * error[0]
    assert plain < -0.25
    assert paired < -0.25
    cohort, matches = stopping(200, 1)
    asked = {
        "outcome": "relapses",
        "estimand": "rate ratio",
        "matches": matches,
        "follow_up": tj.OnTreatment(),
    }
    said = tj.target_trial(cohort, **asked).protocol["Follow-up"]
    assert "does not allow for stopping that goes with the course since baseline" in said
