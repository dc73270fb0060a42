"""Who benefits: effects by a covariate against closed forms and brute force; partial pooling against numerical integration; the figure."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.special import expit

import trajectories as tj
from trajectories import models, plots
from trajectories.caveats import SIMULATED
from trajectories.comparison.benefit import benefit
from trajectories.comparison.shrinkage import shrunken
from trajectories.estimands.comparing import BEFORE_AFTER, MODIFIED
from trajectories.estimate import Estimate
from trajectories.priors import HalfNormal

VALUES = [1.5, 4.0, 6.0]
PAIR = ("alemtuzumab", "fingolimod")


@pytest.fixture(scope="module")
def cohort():
    return tj.simulated_three_dmts_400()


@pytest.fixture(scope="module")
def gaussian(cohort):
    return tj.maximise(
        models.GaussianMixed("edss ~ arm * edss_baseline + arm * years + arm * sex + (1 | patient)"), cohort
    )


@pytest.fixture(scope="module")
def by_edss(gaussian):
    return benefit(tj.change(gaussian, 2.0, by={"edss_baseline": VALUES}), *PAIR)


class TestEffects:
    def test_gaussian_closed_form(self, gaussian, by_edss):
        """θ_v = b_arm + b_arm:baseline v + 2 b_arm:years + b_arm:sex × the share of men, in every draw."""
        b = gaussian.draws(seed=0)["coefficients"]
        at = {name: b.sel(term=name) for name in gaussian.design.terms}
        men = (gaussian.design.target["sex"] == "M").mean()
        for v in VALUES:
            expected = (
                at["arm[alemtuzumab]"]
                + v * at["arm[alemtuzumab]:edss_baseline"]
                + 2 * at["arm[alemtuzumab]:years"]
                + men * at["arm[alemtuzumab]:sex[M]"]
            )
            np.testing.assert_allclose(by_edss.effects.draws.sel(edss_baseline=v), expected, atol=1e-10)
        slope = at["arm[alemtuzumab]:edss_baseline"]
        for v in VALUES[1:]:
            np.testing.assert_allclose(
                by_edss.interaction.draws.sel(edss_baseline=v), (v - 1.5) * slope, atol=1e-10
            )

    def test_ordinal_brute_force(self, cohort):
        """Σ_k level_k ∫ P(level k | x, u) N(u) du by a fine grid, at the estimates."""
        fit = tj.maximise(models.OrdinalMixed("edss ~ arm * edss_baseline + years + (1 | patient)"), cohort)
        parameters = fit.draws(seed=0).isel(draw=slice(0, 3))
        asked = tj.expected_edss(fit, 2.0, by={"edss_baseline": [2.0, 5.0]})
        made = benefit(asked, *PAIR).effects.draws.isel(draw=slice(0, 3))
        grid = np.linspace(-8, 8, 4001)
        density = np.exp(-(grid**2) / 2)
        for d in range(3):
            one = parameters.isel(chain=0, draw=d)
            b = {str(t): float(one["coefficients"].sel(term=t)) for t in one["term"].to_numpy()}
            cut = one["cutpoints"].to_numpy()
            levels = tj.edss.LEVELS
            sd = float(one["patient_sd"].item())

            def mean(arm, v, b=b, cut=cut, levels=levels, sd=sd):
                eta = v * b["edss_baseline"] + 2 * b["years"]
                if arm == "alemtuzumab":
                    eta += b["arm[alemtuzumab]"] + v * b["arm[alemtuzumab]:edss_baseline"]
                above = expit(eta + sd * grid[:, None] - cut)  # P(level > k | u)
                values = levels[0] + above @ np.diff(levels)
                return (values * density).sum() / density.sum()

            for v in (2.0, 5.0):
                expected = mean("alemtuzumab", v) - mean("fingolimod", v)
                assert float(made.isel(chain=0, draw=d).sel(edss_baseline=v)) == pytest.approx(
                    expected, abs=2e-4
                )

    def test_counts_and_print(self, gaussian, by_edss, cohort):
        target = gaussian.design.target
        pair = target[target["arm"].isin(PAIR)]
        reach = by_edss.reach
        assert reach == pytest.approx(pair["edss_baseline"].std() / 2, rel=0.05)  # two digits of it
        for arm in PAIR:
            own = pair.loc[pair["arm"] == arm, "edss_baseline"]
            assert by_edss.near[arm].tolist() == [own.between(v - reach, v + reach).sum() for v in VALUES]
        said = " ".join(str(by_edss).split())
        assert f"n: patients in the model within {reach:g} of the value" in said
        assert "Effect by edss_baseline: change in EDSS, alemtuzumab minus fingolimod (EDSS points)" in said
        assert SIMULATED in said
        assert MODIFIED in said
        assert "assumed" not in said
        assert "sim0001" not in said
        assert list(by_edss.patients) == ["arm", "edss_baseline"]

    def test_nobody_is_near_a_value_beyond_all(self, gaussian):
        with pytest.warns(UserWarning, match="the model extrapolates"):
            asked = tj.change(gaussian, 2.0, by={"edss_baseline": [4.0, 9.5, 15.0]})
        made = benefit(asked, *PAIR)
        assert made.near.loc[[9.5, 15.0]].to_numpy().tolist() == [[0, 0], [0, 0]]
        assert made.summary().loc[9.5, "n alemtuzumab"] == 0
        close = benefit(tj.change(gaussian, 2.0, by={"edss_baseline": [4.0, 4.5]}), *PAIR)
        assert close.reach == 0.25  # half the way
        sexes = benefit(tj.change(gaussian, 2.0, by={"sex": ["F", "M"]}), *PAIR).near
        assert sexes.sum().to_dict() == {arm: (gaussian.design.target["arm"] == arm).sum() for arm in PAIR}

    def test_ratios_of_ratios(self, cohort):
        fit = tj.maximise(models.RelapseCounts("relapses ~ arm * age", windows=(0.0, None)), cohort)
        made = benefit(tj.relapse_rate(fit, by={"age": [30, 40, 50]}), *PAIR, scale="ratio")
        slope = fit.draws(seed=0)["coefficients"].sel(term="arm[alemtuzumab]:age")
        np.testing.assert_allclose(made.interaction.draws.sel(age=50.0), np.exp(20 * slope), rtol=1e-9)
        assert made.interaction.null == 1

    def test_formula_without_the_product_says_so(self, cohort):
        fit = tj.maximise(models.GaussianMixed("edss ~ edss_baseline + arm * years + (1 | patient)"), cohort)
        made = benefit(tj.change(fit, 2.0, by={"edss_baseline": VALUES}), *PAIR)
        assert any("no product of arm and edss_baseline" in caveat for caveat in made.caveats)
        np.testing.assert_allclose(made.interaction.draws, 0, atol=1e-12)

    def test_values_an_arm_does_not_reach(self, cohort):
        few = cohort.patients.query("arm != 'alemtuzumab' or edss_baseline < 5")["patient"]
        fit = tj.maximise(
            models.GaussianMixed("edss ~ arm * edss_baseline + years + (1 | patient)"), cohort.only(few)
        )
        made = benefit(tj.change(fit, 2.0, by={"edss_baseline": VALUES}), *PAIR)
        assert any(
            "nobody of alemtuzumab reaches edss_baseline 6 (0 to 4.5)" in caveat for caveat in made.caveats
        )

    def test_contrasts_over_a_covariate_say_what_they_are(self, by_edss):
        made = tj.contrast(by_edss.effects, "4", "1.5", over="edss_baseline")
        np.testing.assert_array_equal(made.draws, by_edss.interaction.draws.sel(edss_baseline=4.0))
        assert MODIFIED in made.caveats
        assert BEFORE_AFTER not in made.caveats

    def test_refuses(self, gaussian, by_edss):
        with pytest.raises(TypeError, match="no estimand of a fit"):
            benefit(by_edss.effects, *PAIR)
        with pytest.raises(ValueError, match="not asked by a covariate"):
            benefit(tj.change(gaussian, 2.0), *PAIR)
        with pytest.raises(ValueError, match="one value of edss_baseline"):
            benefit(tj.change(gaussian, 2.0, by={"edss_baseline": [2.0]}), *PAIR)
        with pytest.raises(ValueError, match=r"several of years \(2\)"):
            benefit(tj.change(gaussian, [1.0, 2.0], by={"edss_baseline": VALUES}), *PAIR)
        two = tj.change(gaussian, 2.0, by={"edss_baseline": VALUES, "sex": ["F", "M"]})
        with pytest.raises(ValueError, match="asked by edss_baseline, sex: choose over"):
            benefit(two, *PAIR)
        with pytest.raises(ValueError, match=r"several of sex \(2\)"):
            benefit(two, *PAIR, over="edss_baseline")


def effects_of(mean, covariance, *, null=0.0, n=4000):
    """Draws with exactly this mean and covariance."""
    k = len(mean)
    z = np.random.default_rng(3).normal(size=(n, k))
    z = (z - z.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T)).T)
    values = np.asarray(mean) + z @ np.linalg.cholesky(np.asarray(covariance)).T
    if null == 1:
        values = np.exp(values)
    draws = xr.DataArray(
        values[None], dims=("chain", "draw", "centre"), coords={"centre": list("abcdefgh")[:k]}
    )
    return Estimate(
        name="effect",
        draws=draws,
        unit="ratio" if null == 1 else "points",
        definition="Made up.",
        source="made up",
        null=null,
    )


class TestShrinkage:
    mean = np.array([-0.9, -0.2, -0.5, 0.3])
    S = np.diag([0.04, 0.09, 0.02, 0.16])

    def test_by_numerical_integration(self):
        """The posterior of independent effects by adaptive quadrature over τ, with μ integrated by hand."""
        y, s2, sd = self.mean, np.diag(self.S), 0.3

        def parts(tau):
            w = 1 / (s2 + tau**2)
            m = (w * y).sum() / w.sum()
            density = np.exp(-0.5 * (tau / sd) ** 2 - 0.5 * (w * (y - m) ** 2).sum()) * np.sqrt(
                w.prod() / w.sum()
            )
            return density, m, w

        total = quad(lambda t: parts(t)[0], 0, 3)[0]

        def expected(function):
            return quad(lambda t: parts(t)[0] * function(t, *parts(t)[1:]), 0, 3)[0] / total

        made = shrunken(effects_of(y, self.S), prior=HalfNormal(sd))
        draws = made.effects.draws.isel(chain=0)
        for k in range(4):
            theta = expected(lambda t, m, w, k=k: w[k] * (t**2 * y[k] + s2[k] * m))
            square = expected(
                lambda t, m, w, k=k: (
                    (w[k] * (t**2 * y[k] + s2[k] * m)) ** 2
                    + t**2 * s2[k] * w[k]
                    + (s2[k] * w[k]) ** 2 / w.sum()
                )
            )
            assert float(draws[:, k].mean()) == pytest.approx(theta, abs=0.01)
            assert float(draws[:, k].std()) == pytest.approx(np.sqrt(square - theta**2), rel=0.03)
            factor = expected(lambda t, m, w, k=k: s2[k] * w[k])
            assert made.shrinkage.iloc[k] == pytest.approx(factor, abs=2e-4)
        assert float(made.spread.draws.mean()) == pytest.approx(expected(lambda t, m, w: t), abs=1e-3)
        assert float(made.mean.draws.mean()) == pytest.approx(expected(lambda t, m, w: m), abs=0.01)

    def test_limits(self):
        """τ = 0: everybody has the generalised least-squares mean, of correlated effects too; τ without bound: nothing moves."""
        S = self.S + 0.015
        weights = np.linalg.inv(S).sum(axis=0)
        none = shrunken(effects_of(self.mean, S), prior=HalfNormal(1e-4)).effects.summary()
        assert none["mean"].to_numpy() == pytest.approx(
            np.full(4, weights @ self.mean / weights.sum()), abs=0.01
        )
        assert none["sd"].to_numpy() == pytest.approx(np.full(4, weights.sum() ** -0.5), rel=0.03)
        far = np.array([-30.0, 10.0, 0.0, 20.0])
        free = shrunken(effects_of(far, S), prior=HalfNormal(100.0))
        assert free.effects.summary()["mean"].to_numpy() == pytest.approx(far, abs=0.02)
        assert free.effects.summary()["sd"].to_numpy() == pytest.approx(np.sqrt(np.diag(S)), rel=0.03)
        assert free.shrinkage.max() < 0.01

    def test_ratios_by_their_logs(self):
        logs = shrunken(effects_of(self.mean, self.S), prior=HalfNormal(0.3))
        made = shrunken(effects_of(self.mean, self.S, null=1.0), prior=HalfNormal(0.3))
        again = np.log(made.effects.draws)
        for moment in ("mean", "std"):
            np.testing.assert_allclose(
                getattr(again, moment)("draw"), getattr(logs.effects.draws, moment)("draw"), atol=0.01
            )
        np.testing.assert_allclose(made.spread.draws, logs.spread.draws, atol=1e-9)
        assert made.spread.unit == "log ratio"

    def test_points_of_a_line_are_no_subgroups(self, by_edss):
        with pytest.raises(ValueError, match="follow from each other"):
            shrunken(by_edss.effects, prior=HalfNormal(0.25))

    def test_refuses(self, gaussian, by_edss):
        with pytest.raises(ValueError, match="one number only"):
            shrunken(
                replace(by_edss.effects, draws=by_edss.effects.draws.isel(edss_baseline=0)),
                prior=HalfNormal(0.2),
            )
        one = by_edss.effects.draws.isel(edss_baseline=[0])
        with pytest.raises(ValueError, match="one edss_baseline only"):
            shrunken(replace(by_edss.effects, draws=one), prior=HalfNormal(0.2), over="edss_baseline")
        several = tj.contrast(tj.change(gaussian, [1.0, 2.0], by={"sex": ["F", "M"]}), *PAIR)
        with pytest.raises(ValueError, match=r"sex \(2\), years \(2\): choose"):
            shrunken(several, prior=HalfNormal(0.2))
        missing = effects_of(self.mean, self.S)
        missing.draws[0, 0, 0] = np.nan
        with pytest.raises(ValueError, match="missing"):
            shrunken(missing, prior=HalfNormal(0.2))

    def test_print(self, gaussian):
        made = shrunken(
            benefit(tj.change(gaussian, 2.0, by={"sex": ["F", "M"]}), *PAIR).effects, prior=HalfNormal(0.25)
        )
        said = " ".join(str(made).split())
        assert "prior HalfNormal(0.25)" in said
        assert "2 subgroups say little" in said
        assert SIMULATED in said
        frame = made.summary()
        spread = frame["unshrunken median"].diff().abs().iloc[-1]
        assert frame["median"].diff().abs().iloc[-1] < spread


class TestPlot:
    def drawn(self, figure, gid):
        return list(figure.findobj(lambda a: a.get_gid() == gid))

    def test_line(self, by_edss):
        figure = plots.benefit(by_edss)
        (line,) = self.drawn(figure, "effect")
        summary = by_edss.effects.summary()
        np.testing.assert_allclose(line.get_xdata(), VALUES)
        np.testing.assert_allclose(line.get_ydata(), summary["mean"])
        words = [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]
        assert "SIMULATED data: nobody was treated" in words
        assert "favours alemtuzumab" in words
        assert f"alemtuzumab, n = {(by_edss.patients['arm'] == 'alemtuzumab').sum()}" in words
        for arm, sign in zip(PAIR, (1, -1), strict=True):
            heights = [bar.get_height() for bar in self.drawn(figure, f"patients {arm}")]
            assert sign * sum(heights) == (by_edss.patients["arm"] == arm).sum()

    def test_favours_the_arm_with_less_disability(self, by_edss):
        figure = plots.benefit(by_edss)
        above = {text.get_text(): text.get_verticalalignment() for text in self.drawn(figure, "favours")}
        assert above == {"favours fingolimod": "bottom", "favours alemtuzumab": "top"}

    def test_categories_and_ratios(self, gaussian, cohort):
        figure = plots.benefit(benefit(tj.change(gaussian, 2.0, by={"sex": ["F", "M"]}), *PAIR))
        assert [t.get_text() for t in figure.axes[1].get_xticklabels()] == ["F", "M"]
        fit = tj.maximise(models.RelapseCounts("relapses ~ arm * age", windows=(0.0, None)), cohort)
        made = benefit(tj.relapse_rate(fit, by={"age": [30, 40, 50]}), *PAIR, scale="ratio")
        figure = plots.benefit(made, ci=0.8)
        assert figure.axes[0].get_yscale() == "log"
        (band,) = self.drawn(figure, "interval")
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(made.effects.summary(0.8)["lower"].min())
        assert heights.max() == pytest.approx(made.effects.summary(0.8)["upper"].max())
        assert pd.notna(heights).all()
