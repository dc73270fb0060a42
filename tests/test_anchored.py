"""Indirect comparisons through a common comparator, against their closed form; and weights that do not go with published figures."""

import numpy as np
import pytest
import xarray as xr

import trajectories as tj
from trajectories.caveats import Doubt
from trajectories.comparison import published
from trajectories.comparison.anchored import anchored
from trajectories.comparison.figures import HazardRatio, MeanInterval, MeanSD, RateRatio
from trajectories.comparison.unanchored import against_published


def contrast(mean, sd, *, ratio, **changes):
    draws = np.random.default_rng(1).normal(mean, sd, (4, 50_000))
    draws = (draws - draws.mean()) / draws.std() * sd + mean
    array = xr.DataArray(np.exp(draws) if ratio else draws, dims=("chain", "draw"))
    facts = {"unit": "ratio", "null": 1.0} if ratio else {"unit": "EDSS points", "null": 0.0}
    return tj.Estimate(
        name="a against c", draws=array, definition="Made up.", source="made up", **(facts | changes)
    )


def test_ratios_are_bucher_s():
    """log θ_AB = log θ_AC − log θ_BC, variances add: of CARE-MS I's printed 0.45 (0.32 to 0.63)."""
    made = anchored(
        contrast(np.log(0.3), 0.2, ratio=True),
        published.CARE_MS_1.contrasts["arr"],
        common="interferon beta-1a",
    )
    logs = np.log(made.draws.to_numpy())
    se = np.hypot(0.2, np.log(0.63 / 0.32) / (2 * 1.959964))
    assert logs.mean() == pytest.approx(np.log(0.3 / 0.45), abs=0.002)
    assert logs.std() == pytest.approx(se, rel=0.01)
    summary = made.summary().iloc[0]
    assert summary["upper"] == pytest.approx(0.3 / 0.45 * np.exp(1.959964 * se), rel=0.02)
    assert made.null == 1
    assert any(isinstance(c, Doubt) and "anchored on interferon beta-1a" in c for c in made.caveats)
    assert "Cohen et al. 2012" in made.definition


def test_differences():
    made = anchored(
        contrast(-0.5, 0.1, ratio=False), MeanInterval(mean=-0.2, lower=-0.5, upper=0.1), common="interferon"
    )
    values = made.draws.to_numpy()
    assert values.mean() == pytest.approx(-0.3, abs=0.002)
    assert values.std() == pytest.approx(np.hypot(0.1, 0.6 / (2 * 1.959964)), rel=0.01)


def test_rates_from_counts_and_estimates():
    trial = published.CARE_MS_1
    counts = tj.rate_ratio_from_summary(trial["alemtuzumab"].relapses, trial["interferon"].relapses)
    own = contrast(np.log(0.3), 0.2, ratio=True)
    logs = np.log(anchored(own, counts, common="interferon beta-1a").draws.to_numpy())
    assert logs.mean() == pytest.approx(np.log(0.3 / counts.ratio), abs=0.002)
    assert logs.std() == pytest.approx(np.hypot(0.2, counts.log_se), rel=0.01)
    itself = np.log(anchored(own, own, common="c").draws.to_numpy())
    assert itself.mean() == pytest.approx(0, abs=0.002)
    assert itself.std() == pytest.approx(
        np.sqrt(2) * 0.2, rel=0.01
    )  # independent, though the draws are the same


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        (contrast(0, 1, ratio=True), published.CARE_MS_1["alemtuzumab"].arr, "one arm, no contrast"),
        (contrast(0, 1, ratio=True), MeanSD(mean=1.0, sd=1.0), "no contrast of two arms"),
        (contrast(0, 1, ratio=True), MeanInterval(mean=0.0, lower=-1.0, upper=1.0), "is a difference"),
        (contrast(0, 1, ratio=False), HazardRatio(ratio=0.5, lower=0.4, upper=0.7), "is a ratio"),
        (contrast(0, 1, ratio=False), contrast(0, 1, ratio=True), "another scale"),
        (contrast(0, 1, ratio=False, null=None), RateRatio(ratio=0.5, lower=0.4, upper=0.7), "no contrast of two treatments"),
        (contrast(0, 1, ratio=False, null=1.0), RateRatio(ratio=0.5, lower=0.4, upper=0.7), "not above 0"),
    ],
)  # fmt: skip
def test_refuses(own, other, said):
    with pytest.raises(ValueError, match=said):
        anchored(own, other, common="c")


def test_refuses_several_cells_and_other_things():
    own = contrast(0, 1, ratio=True)
    array = own.draws.expand_dims(years=[1.0, 2.0], axis=2)
    several = tj.Estimate(
        name="x", draws=array, unit="ratio", definition="Made up.", source="made up", null=1.0
    )
    with pytest.raises(ValueError, match=r"several cells \(years\)"):
        anchored(several, RateRatio(ratio=0.5, lower=0.4, upper=0.7), common="c")
    with pytest.raises(TypeError, match="not float"):
        anchored(own, 0.5, common="c")
    with pytest.raises(TypeError, match=r"tj\.contrast.*not float"):
        anchored(0.5, own, common="c")


@pytest.fixture(scope="module")
def against_fingolimod():
    cohort = tj.simulated_three_dmts_400()
    fit = tj.maximise(
        tj.models.RelapseCounts("relapses ~ arm", family="poisson", windows=(0.0, None)), cohort
    )
    return tj.contrast(tj.relapse_rate(fit), "alemtuzumab", "fingolimod", scale="ratio")


class TestTheAnchor:
    def test_is_the_reference_of_the_own_contrast(self, against_fingolimod):
        trial = published.CARE_MS_1.contrasts["arr"]
        with pytest.raises(ValueError, match="own contrast is against fingolimod, not interferon beta-1a"):
            anchored(against_fingolimod, trial, common="interferon beta-1a")
        made = anchored(
            against_fingolimod, trial, common="interferon beta-1a", also_called=("Fingolimod",)
        )  # nonsense, but stated
        assert any("as stated: interferon beta-1a, Fingolimod" in caveat for caveat in made.caveats)
        assert not any("does not tell" in caveat for caveat in made.caveats)

    def test_is_the_reference_of_the_published_one(self, against_fingolimod):
        trial = published.CARE_MS_1
        counts = tj.rate_ratio_from_summary(trial["alemtuzumab"].relapses, trial["interferon"].relapses)
        for other in (trial.contrasts["arr"], counts):
            with pytest.raises(
                ValueError, match=r"published contrast is against .*interferon beta-1a, not fingolimod"
            ):
                anchored(against_fingolimod, other, common="fingolimod")
            assert anchored(contrast(0, 1, ratio=True), other, common="Interferon beta-1a ").null == 1
        itself = anchored(against_fingolimod, against_fingolimod, common="fingolimod")
        assert np.log(itself.draws.to_numpy()).mean() == pytest.approx(0, abs=0.02)

    def test_of_differences_too_whatever_arms_are_called(self):
        arms = ["a over b, c", "x. y minus z"]
        draws = xr.DataArray(
            np.random.default_rng(1).normal(size=(1, 50, 2)),
            dims=("chain", "draw", "arm"),
            coords={"arm": arms},
        )
        estimate = tj.Estimate(
            name="EDSS, mean", draws=draws, unit="EDSS points", definition="Made up.", source="made up"
        )
        own, other = tj.contrast(estimate, *arms), MeanInterval(mean=0.0, lower=-1.0, upper=1.0)
        assert anchored(own, other, common="x. y minus z").null == 0
        with pytest.raises(ValueError, match=r"is against x\. y minus z, not z"):
            anchored(own, other, common="z")

    @pytest.mark.parametrize(
        "names", [{"common": ""}, {"common": " "}, {"common": "c", "also_called": ("",)}]
    )
    def test_has_a_name(self, names):
        with pytest.raises(ValueError, match="name the common comparator"):
            anchored(contrast(0, 1, ratio=True), RateRatio(ratio=0.5, lower=0.4, upper=0.7), **names)

    def test_is_the_users_word_where_the_contrast_does_not_tell(self):
        made = anchored(contrast(0, 1, ratio=True), RateRatio(ratio=0.5, lower=0.4, upper=0.7), common="c")
        assert any(
            "does not tell what it is against: that it is c was stated" in caveat for caveat in made.caveats
        )


def test_a_published_ratio_is_named_once():
    made = anchored(
        contrast(0, 1, ratio=True), published.CARE_MS_2.contrasts["arr"], common="interferon beta-1a"
    )
    assert "over rate ratio, CARE-MS II" in made.name
    assert "rate ratio of rate ratio" not in f"{made.name} {made.definition} {made.source}"


def test_weights_between_own_arms_do_not_match_a_published_population():
    cohort = tj.simulated_three_dmts_400()
    made = tj.weights(tj.propensity(cohort, "arm ~ age + edss_baseline"), "ATO")
    trial = published.CARE_MS_2["alemtuzumab"].arr
    with pytest.raises(TypeError, match=r"make the own arms alike \(target ATO.*tj\.maic"):
        against_published(cohort, trial, arm="alemtuzumab", weights=made)
    with pytest.raises(TypeError, match=r"made by tj\.maic, not be Series"):
        against_published(cohort, trial, arm="alemtuzumab", weights=made.values)
