"""Simulate patients, draw option sets, and record which events pymsprog finds: README_PYMSPROG.md says how to run it.

Runs in an environment of its own, since pymsprog needs numpy < 2:
    python make_pymsprog_cases.py            writes pymsprog_*.csv(.gz) beside this script (about three minutes)
    python make_pymsprog_cases.py --speed    only measures the cost per patient of 1,000 patients with 20 visits
"""

import gzip
import itertools
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
PATIENTS, OPTION_SETS, EACH = 3000, 300, 100
LEVELS = np.array([0.0, *np.arange(2, 21) / 2])


def visit_days(rng):
    """Irregular visits from day 0: regular, frequent, sparse and chaotic schedules, some on exactly 84-day multiples."""
    kind = rng.choice(
        ["exact", "quarterly", "half-yearly", "sparse", "chaotic"], p=[0.25, 0.3, 0.2, 0.1, 0.15]
    )
    n = int(rng.integers(2, 21))
    if kind == "exact":
        gaps = rng.choice([28, 42, 84, 91, 168], size=n - 1, p=[0.1, 0.1, 0.5, 0.2, 0.1])
    elif kind == "quarterly":
        gaps = np.maximum(np.rint(rng.normal(91, 15, size=n - 1)), 20)
    elif kind == "half-yearly":
        gaps = np.maximum(np.rint(rng.normal(182, 30, size=n - 1)), 20)
    elif kind == "sparse":
        gaps = rng.integers(200, 700, size=n - 1)
        gaps = gaps[: max(1, (n - 1) // 2)]
    else:
        gaps = rng.choice([7, 14, 30, 45, 60, 77, 83, 84, 85, 120, 167, 168, 200, 365], size=n - 1)
    return np.concatenate([[0], np.cumsum(gaps.astype(int))])


def relapse_days(rng, visits):
    """Onsets at least 30 days apart; one patient in ten has one before the first visit; many at notable distances."""
    rate = rng.gamma(1.0, 0.5)
    end = int(visits[-1])
    onsets = list(rng.integers(0, end + 60, size=rng.poisson(rate * (end + 60) / 365.25)))
    if rng.random() < 0.1:
        onsets.append(-int(rng.choice([1, 10, 29, 30, 31, 45, 60, 89, 90, 91, 150, 300])))
    if rng.random() < 0.2:  # at the edges of the windows around some visit
        onsets.append(int(rng.choice(visits)) - int(rng.choice([-30, 0, 1, 29, 30, 31, 89, 90, 91])))
    kept = []
    for day in sorted(onsets):
        if not kept or day - kept[-1] >= 30:
            kept.append(int(day))
    return kept


def edss_values(rng, visits, onsets):
    """A drifting level with steps after relapses that recover wholly, partly or not, and noise; on the legal scale."""
    level = rng.choice(
        [0, 1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13], p=np.array([4, 6, 8, 10, 12, 12, 12, 10, 10, 8, 5, 3]) / 100
    )
    drift = rng.choice([0.0, 0.4, 1.0, -0.5], p=[0.4, 0.3, 0.2, 0.1])
    spread = rng.choice([0.2, 0.6, 1.2], p=[0.4, 0.4, 0.2])
    walk = np.cumsum(rng.normal(0, 0.5, size=len(visits))) + level + drift * visits / 365.25
    for onset in onsets:
        height, left = rng.integers(1, 5), rng.choice([0.0, 0.5, 1.0], p=[0.5, 0.25, 0.25])
        since = visits - onset
        walk += np.where(since >= 0, height * np.where(since < rng.choice([60, 120, 200]), 1.0, left), 0.0)
    return LEVELS[np.clip(np.rint(walk + rng.normal(0, spread, size=len(visits))).astype(int), 0, 19)]


def simulate(seed):
    rng = np.random.default_rng(seed)
    visits, relapses = [], []
    for patient in range(1, PATIENTS + 1):
        days = visit_days(rng)
        onsets = relapse_days(rng, days)
        early = (
            onsets != [] and onsets[0] < 0 and rng.random() < 0.6
        )  # worse soon after a relapse before day 0
        if early:
            days = np.unique(np.concatenate([days, [28, 56]]))
        edss = edss_values(rng, days, onsets)
        if early:
            step = int(rng.integers(1, 5))
            edss[1:] = [LEVELS[min(int(np.searchsorted(LEVELS, value)) + step, 19)] for value in edss[1:]]
        visits += zip(itertools.repeat(patient), days.tolist(), edss.tolist())
        relapses += [(patient, day) for day in onsets]
    return pd.DataFrame(visits, columns=["patient", "day", "edss"]), pd.DataFrame(
        relapses, columns=["patient", "day"]
    )


INDEPENDENT = {
    "muller_2023": {"prec": [0, 0], "event": [90, 30], "conf": [90, 30]},
    "cagol_2022": {"prec": [0, 0], "event": [90, None], "conf": [None, 0]},
    "muller_2023_specific": {"prec": [0, None], "event": [None, None], "conf": [None, 0]},
    "kappos_2020": {"prec": [0, None], "event": [None, 30], "conf": [30, 30]},
    "complementary": {"prec": [0, 0], "event": [0, 0], "conf": [0, 0]},
    "30_30": {"prec": [0, 0], "event": [30, 30], "conf": [30, 30]},
}


def draw_options(rng):
    """One random set of pymsprog's arguments, as JSON can hold them."""

    def one(values, p=None):
        return values[int(rng.choice(len(values), p=p))]

    event = one(
        ["multiple", "firstCDW", "firstCDI", "firstPIRA", "firstRAW", "first"],
        [0.4, 0.18, 0.12, 0.12, 0.1, 0.08],
    )
    baseline = one(["fixed", "roving", "roving_wors", "roving_impr"], [0.3, 0.4, 0.15, 0.15])
    indep = one(list(INDEPENDENT), [0.4, 0.15, 0.15, 0.15, 0.1, 0.05])
    options = {
        "event": event,
        "baseline": baseline,
        "conf_days": one([[84], [168], [84, 168]], [0.4, 0.4, 0.2]),
        "conf_tol_days": one(
            [[7, 730.5], [0, "inf"], [0, 84], [30, 30], [14, 90]], [0.25, 0.35, 0.2, 0.1, 0.1]
        ),
        "RAW_PIRA": bool(rng.random() < 0.7),
        "relapse_indep": INDEPENDENT[indep],
        "relapse_to_bl": one([[30, 0], [0, 0], [30, 30], [90, 0]], [0.6, 0.2, 0.1, 0.1]),
        "relapse_to_event": one([[0, 0], [30, 0]], [0.85, 0.15]),
        "relapse_to_conf": one([[30, 0], [0, 0], [30, 30]], [0.7, 0.2, 0.1]),
        "relapse_assoc": one([[90, 0], [30, 0], [90, 30]], [0.7, 0.15, 0.15]),
        "proceed_from": one(["firstconf", "event"], [0.75, 0.25]),
        "sub_threshold_rebl": one(["none", "event", "improvement", "worsening"], [0.7, 0.1, 0.1, 0.1]),
        "relapse_rebl": bool(rng.random() < (0.7 if indep == "kappos_2020" else 0.15)),
        "require_sust_days": one([0, 180, "inf"], [0.8, 0.1, 0.1]),
        "check_intermediate": bool(rng.random() < 0.85),
    }
    options["bl_geq"] = bool(options["relapse_rebl"] and rng.random() < 0.4)
    return indep, options


def arguments(options):
    """Turn JSON's words back into what pymsprog takes."""
    made = json.loads(json.dumps(options))
    made["conf_tol_days"] = [float(bound) for bound in made["conf_tol_days"]]
    made["require_sust_days"] = float(made["require_sust_days"])
    made["relapse_indep"] = {point: tuple(bounds) for point, bounds in made["relapse_indep"].items()}
    return made


def run(visits, relapses, options):
    from pymsprog import MSprog

    _, results = MSprog(
        visits,
        "patient",
        "edss",
        "day",
        "edss",
        relapse=relapses,
        date_format="day",
        include_dates=True,
        include_value=True,
        include_stable=True,
        verbose=0,
        **arguments(options),
    )
    return results[results["event_type"] != ""]  # without include_stable it crashes where nobody has an event


COLUMNS = {
    "nevent": "n",
    "event_type": "event_type",
    "CDW_type": "label",
    "date": "day",
    "value": "value",
    "bl_date": "bl_day",
    "bl_value": "bl_value",
    "conf84_date": "conf84_day",
    "conf84_value": "conf84_value",
    "conf168_date": "conf168_day",
    "conf168_value": "conf168_value",
    "PIRA_conf84_date": "pira84_day",
    "PIRA_conf168_date": "pira168_day",
    "sust_days": "sust_days",
    "sust_last": "sust_last",
}


def run_one_by_one(visits, relapses, options):
    """Run each patient alone, as one crash takes all the others of a call with it."""
    found, crashed = [], []
    for patient, mine in visits.groupby("patient"):
        try:
            found.append(run(mine, relapses[relapses["patient"] == patient], options))
        except (ValueError, IndexError):
            crashed.append(patient)
    return pd.concat([f for f in found if len(f)], ignore_index=True), crashed


def record(seed=20240603):
    visits, relapses = simulate(seed)
    rng = np.random.default_rng(seed + 1)
    drawn = [draw_options(rng) for _ in range(OPTION_SETS)]
    events, rows = [], []
    for k, (indep, options) in enumerate(drawn):
        first = (k * EACH) % PATIENTS + 1
        last = first + EACH - 1
        mine, theirs = (t[t["patient"].between(first, last)] for t in (visits, relapses))
        start, error, crashed = time.process_time(), "", []
        try:
            found = run(mine, theirs, options)
        except (ValueError, IndexError) as problem:  # recorded: a crash is an answer too
            error = f"{type(problem).__name__}: {problem}"
            found, crashed = run_one_by_one(mine, theirs, options)
        rows.append(
            {
                "option": k + 1,
                "first_patient": first,
                "last_patient": last,
                "pira_preset": indep,
                "options": json.dumps(options),
                "events": len(found),
                "error": error,
                "crashed": " ".join(map(str, crashed)),
            }
        )
        kept = found.reindex(columns=["patient", *COLUMNS]).rename(columns=COLUMNS)
        events.append(kept.assign(option=k + 1) if len(kept) else kept.assign(option=pd.Series(dtype=int)))
        print(f"{k + 1:4d} {len(found):5d} events {time.process_time() - start:6.1f} s {error}", flush=True)
    together = pd.concat([e for e in events if len(e)], ignore_index=True)
    together = together[["option", *[c for c in together if c != "option"]]]
    together["sust_last"] = together["sust_last"].astype(int)
    write(visits, "pymsprog_visits.csv.gz")
    write(relapses, "pymsprog_relapses.csv.gz")
    write(pd.DataFrame(rows), "pymsprog_options.csv")
    write(together, "pymsprog_events.csv.gz")
    versions = {
        "python": platform.python_version(),
        **{p: __import__(p).__version__ for p in ("numpy", "pandas", "pymsprog")},
    }
    pd.Series(versions, name="version").rename_axis("package").to_csv(HERE / "pymsprog_versions.csv")


def write(frame, name):
    text = frame.to_csv(index=False, float_format="%g")
    path = HERE / name
    if name.endswith(".gz"):
        path.write_bytes(
            gzip.compress(text.encode(), 9, mtime=0)
        )  # no time inside: the same run gives the same file
    else:
        path.write_text(text)


def speed(seed=5):
    """Cost per patient of 1,000 patients with 20 visits, all events with RAW/PIRA, fixed and roving baseline."""
    rng = np.random.default_rng(seed)
    visits, relapses = [], []
    for patient in range(1000):
        days = np.concatenate(
            [[0], np.cumsum(np.maximum(np.rint(rng.normal(91, 15, size=19)), 20).astype(int))]
        )
        onsets = relapse_days(rng, days)
        visits.append(pd.DataFrame({"patient": patient, "day": days, "edss": edss_values(rng, days, onsets)}))
        relapses += [(patient, day) for day in onsets]
    visits, relapses = (
        pd.concat(visits, ignore_index=True),
        pd.DataFrame(relapses, columns=["patient", "day"]),
    )
    for baseline in ("fixed", "roving"):
        options = {
            "event": "multiple",
            "baseline": baseline,
            "RAW_PIRA": True,
            "conf_days": [168],
            "conf_tol_days": [0, "inf"],
            "relapse_indep": INDEPENDENT["muller_2023"],
            "require_sust_days": 0,
        }
        start = time.process_time()
        found = run(visits, relapses, options)
        cost = (time.process_time() - start) / 1000
        print(f"{baseline}: {1000 * cost:.1f} ms of CPU time a patient, {len(found)} events")


if __name__ == "__main__":
    speed() if "--speed" in sys.argv else record()
