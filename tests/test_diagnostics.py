"""Convergence checks on made-up draws: each limit on its own, what is refused, and what every later output must say."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import trajectories as tj
from trajectories import models
from trajectories.caveats import not_converged
from trajectories.estimate import Estimate, EstimateSet
from trajectories.fitting.diagnostics import (
    BFMI_LIMIT,
    ESS_LIMIT,
    R_HAT_LIMIT,
    SHARE_LIMIT,
    ConvergenceError,
    Problem,
    convergence_table,
    find_problems,
    population,
    refuse,
)

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import cohort, fit_of

CHAINS, DRAWS = 4, 1000


def parameters(seed=1):
    rng = np.random.default_rng(seed)
    return xr.Dataset(
        {
            "coefficients": (("chain", "draw", "term"), rng.normal(size=(CHAINS, DRAWS, 2))),
            "residual_sd": (("chain", "draw"), rng.gamma(2, 1, (CHAINS, DRAWS))),
            "patient_covariance": (
                ("chain", "draw", "effect", "other_effect"),
                np.ones((CHAINS, DRAWS, 1, 1)),
            ),
            "patient_effects": (("chain", "draw", "patient", "effect"), np.zeros((CHAINS, DRAWS, 3, 1))),
        },
        coords={"term": ["years", "arm[new]"], "effect": ["intercept"], "other_effect": ["intercept"]},
    )


def stats(seed=2):
    rng = np.random.default_rng(seed)
    lead = ("chain", "draw")
    return xr.Dataset(
        {
            "diverging": (lead, np.zeros((CHAINS, DRAWS), dtype=bool)),
            "reached_max_treedepth": (lead, np.zeros((CHAINS, DRAWS), dtype=bool)),
            "energy": (lead, rng.normal(size=(CHAINS, DRAWS))),
        }
    )


def changed(name, draws):
    good = parameters()
    return good.assign({name: (good[name].dims, draws)})


def test_limits_are_those_that_were_stated():
    assert (R_HAT_LIMIT, ESS_LIMIT, SHARE_LIMIT, BFMI_LIMIT) == (1.01, 400, 0.01, 0.3)


def test_good_draws_have_no_problems():
    assert find_problems(parameters(), stats()) == ()


def test_population_leaves_patients_and_the_covariance_out():
    assert set(population(parameters())) == {"coefficients", "residual_sd"}


def test_table_equals_arviz():
    import arviz as az

    table = convergence_table(parameters())
    assert table.index.tolist() == [
        ("coefficients", "years"),
        ("coefficients", "arm[new]"),
        ("residual_sd", ""),
    ]
    expected = az.rhat(parameters()[["residual_sd"]])["residual_sd"].item()
    assert table.loc[("residual_sd", ""), "r_hat"] == pytest.approx(expected)
    assert (table["ess_bulk"] > 3000).all()


def test_chains_that_disagree():
    draws = parameters()["coefficients"].to_numpy().copy()
    draws[0, :, 1] += 0.6
    problems = find_problems(changed("coefficients", draws), stats())
    assert re.match(
        r"R-hat above 1.01 for 1 of 3 parameters, worst 1\.\d{3} \(coefficients arm\[new\]\)",
        str(problems[0]),
    )
    assert problems[0].serious


def test_draws_that_are_too_few_for_their_correlation():
    rng = np.random.default_rng(3)
    noise, walk = rng.normal(size=(CHAINS, DRAWS)), np.zeros((CHAINS, DRAWS))
    for t in range(1, DRAWS):
        walk[:, t] = 0.97 * walk[:, t - 1] + noise[:, t]
    found = [str(p) for p in find_problems(changed("residual_sd", walk), stats())]
    assert any(
        re.match(r"bulk ESS below 400 for 1 of 3 parameters, worst \d+ \(residual_sd\)", text)
        for text in found
    )
    assert all(p.serious for p in find_problems(changed("residual_sd", walk), stats()))


def test_tails_alone():
    rng = np.random.default_rng(4)
    draws = np.abs(rng.normal(size=(CHAINS, DRAWS)))
    draws[:, 300:420] += (
        20.0  # one long visit to the tail by each chain, at the same time: R-hat sees nothing
    )
    found = [str(p) for p in find_problems(changed("residual_sd", draws), stats())]
    assert any(text.startswith("tail ESS below 400 for 1 of 3 parameters") for text in found)


def test_parameters_that_do_not_move_or_are_missing():
    constant = find_problems(changed("residual_sd", np.full((CHAINS, DRAWS), 2.0)), stats())
    assert [str(p) for p in constant] == ["1 parameters did not move or are not finite, such as residual_sd"]
    gap = parameters()["coefficients"].to_numpy().copy()
    gap[1, 3, 0] = np.nan
    found = find_problems(changed("coefficients", gap), stats())
    assert [str(p) for p in found] == [
        "1 parameters did not move or are not finite, such as coefficients years"
    ]
    assert constant[0].serious
    assert found[0].serious


def test_one_chain_cannot_be_judged():
    found = find_problems(parameters().isel(chain=[0]), stats().isel(chain=[0]))
    assert [str(p) for p in found] == ["R-hat compares chains, and there is 1: take chains=4"]
    assert found[0].serious


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("diverging", "divergent transitions"),
        ("reached_max_treedepth", "transitions stopped at the tree-depth limit"),
    ],
)
def test_more_than_one_in_a_hundred_is_serious_and_fewer_are_listed(flag, words):
    for count, serious in ((1, False), (40, False), (41, True)):
        flags = np.zeros(CHAINS * DRAWS, dtype=bool)
        flags[:count] = True
        bad = stats().assign({flag: (("chain", "draw"), flags.reshape(CHAINS, DRAWS))})
        (problem,) = find_problems(parameters(), bad)
        assert str(problem) == f"{count} of 4000 {words} ({count / 4000:.1%})"
        assert problem.serious is serious


def test_slow_energy_is_listed():
    energy = np.cumsum(np.random.default_rng(5).normal(size=(CHAINS, DRAWS)), axis=1)
    (problem,) = find_problems(parameters(), stats().assign(energy=(("chain", "draw"), energy)))
    assert re.match(r"the energy mixes slowly: BFMI 0\.\d\d, below 0\.3", str(problem))
    assert not problem.serious


def test_refusal_lists_what_was_found_and_numbered_remedies():
    problems = (
        Problem(what="R-hat above 1.01 …", serious=True),
        Problem(what="2 divergent transitions", serious=False),
    )
    with pytest.raises(ConvergenceError) as caught:
        refuse(problems)
    text = str(caught.value)
    assert "  - R-hat above 1.01 …\n  - 2 divergent transitions\n" in text
    numbers = re.findall(r"^  (\d+)\. ", text, flags=re.MULTILINE)
    assert numbers == [str(i) for i in range(1, len(numbers) + 1)]
    assert len(numbers) >= 4
    for remedy in (
        "draws=2000",
        "target_accept=0.95",
        "fewer patient effects",
        "with_priors",
        "accept_problems=True",
    ):
        assert remedy in text


def test_minor_problems_are_not_refused():
    refuse(())
    refuse((Problem(what="2 divergent transitions", serious=False),))


def test_accepted_problems_mark_every_later_output():
    model = models.OrdinalMixed("edss ~ arm * years + (1 | patient)")
    found = (
        Problem(what="R-hat above 1.01 …", serious=True),
        Problem(what="2 divergent transitions", serious=False),
    )
    rng = np.random.default_rng(6)
    fit = fit_of(
        model, model.design(cohort()), coefficients=rng.normal(0, 0.3, (40, 3)), covariance=[[4.0]], chains=4, found=found
    )  # fmt: skip
    mark = "NOT CONVERGED (accepted by the user): R-hat above 1.01 …"
    assert fit.problems() == found
    assert mark in fit.caveats
    stable = tj.stabilisation(fit, at=1.0, margin=0.5)
    estimates = [tj.change(fit, 1.0), tj.slope(fit, (0, 1)), tj.contrast(tj.change(fit, 1.0), "new", "old")]
    for output in (*estimates, tj.contrast(stable, "new", "old"), stable):
        assert mark in str(output)
        assert str(output).startswith("NOT CONVERGED (accepted by the user): do not report these numbers\n")
        assert mark in output.summary().attrs["caveats"]
        assert not output.summary()["converged"].any()
    assert str(fit).startswith("NOT CONVERGED (accepted by the user): do not report these numbers\n")
    frames = (fit.summary(), estimates[0].to_frame(), stable.curve(), stable.patients.to_frame())
    assert all(frame["converged"].eq(False).all() for frame in frames)


def test_fits_that_converged_have_no_such_column_and_sets_say_which_did():
    draws = xr.DataArray([[1.0, 2.0]], dims=("chain", "draw"))
    good, bad = (
        Estimate(
            name="x", draws=draws, unit="points", definition="An example.", source="made up", caveats=caveats
        )
        for caveats in ((), (not_converged(["R-hat"]),))
    )
    both = EstimateSet(title="Both", estimates={"good": good, "bad": bad})
    assert both.summary()["converged"].to_dict() == {"good": True, "bad": False}
    assert str(both).startswith("NOT CONVERGED")
    alone = EstimateSet(title="One", estimates={"good": good})
    for output in (good.summary(), good.to_frame(), alone.summary()):
        assert "converged" not in output
    assert not str(alone).startswith("NOT CONVERGED")
