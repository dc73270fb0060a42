"""Mean and SD from quartiles: by hand, by simulation, against published tables, and refused where they would mislead."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trajectories.comparison import published
from trajectories.comparison.figures import Mean, PublishedFigureError, Quartiles
from trajectories.comparison.quartiles import mean_from_quartiles


def samples(n: int, repeats: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(3.0, 1.5, (repeats, n))


def converted(sample: np.ndarray, *, with_range: bool):
    low, q1, median, q3, high = np.quantile(sample, [0, 0.25, 0.5, 0.75, 1])
    ends = {"minimum": low, "maximum": high} if with_range else {}
    return mean_from_quartiles(Quartiles(median=median, q1=q1, q3=q3, **ends), n=len(sample))


class TestByHand:
    def test_quartiles_alone(self):
        made = mean_from_quartiles(Quartiles(median=35.0, q1=29.0, q3=42.0), n=100)
        assert np.isclose(made.mean, (0.7 + 0.0039) * 35.5 + (0.3 - 0.0039) * 35.0)
        assert np.isclose(made.sd, 13 / (2 * stats.norm.ppf(74.875 / 100.25)))

    def test_with_the_range(self):
        made = mean_from_quartiles(Quartiles(median=35.0, q1=29.0, q3=42.0, minimum=18.0, maximum=61.0), n=16)
        outer, inner = 2.2 / (2.2 + 8.0), 0.7 - 0.72 / 16**0.55
        assert np.isclose(made.mean, outer * 39.5 + inner * 35.5 + (1 - outer - inner) * 35.0)
        sds = 13 / (2 * stats.norm.ppf(11.875 / 16.25)), 43 / (2 * stats.norm.ppf(15.625 / 16.25))
        assert np.isclose(made.sd, np.mean(sds))

    @pytest.mark.parametrize(("n", "xi"), [(10, 3.078), (20, 3.735), (35, 4.213), (50, 4.498)])
    def test_the_expected_range_is_that_of_the_printed_table(self, n, xi):
        # Wan 2014, table 1, gives ξ(n) itself; the formula approximates it
        assert np.isclose(2 * stats.norm.ppf((n - 0.375) / (n + 0.25)), xi, rtol=0.01)

    def test_the_weight_is_the_best_one_in_large_normal_samples(self):
        p = np.array([0.25, 0.5, 0.75])
        f = stats.norm.pdf(stats.norm.ppf(p))
        covariance = np.minimum.outer(p, p) * (1 - np.maximum.outer(p, p)) / np.outer(f, f)
        middle, median = np.array([0.5, 0, 0.5]), np.array([0, 1.0, 0])
        a, b, c = middle @ covariance @ middle, median @ covariance @ median, middle @ covariance @ median
        assert np.isclose((b - c) / (a + b - 2 * c), 0.7, atol=0.005)


class TestErrors:
    @pytest.mark.parametrize("with_range", [False, True])
    @pytest.mark.parametrize("n", [20, 100])
    def test_are_those_of_samples_with_known_mean(self, n, with_range):
        made, missed = [], 0
        for sample in samples(n, 250, seed=8):
            try:
                made.append((converted(sample, with_range=with_range), sample.mean()))
            except PublishedFigureError:
                missed += 1
        means = np.array([one.mean for one, _ in made])
        sds = np.array([one.sd for one, _ in made])
        errors = np.array([one.mean_error for one, _ in made])
        assert missed < 25  # about 5 % look skew by chance
        assert np.isclose(means.mean(), 3.0, atol=4 * 1.5 / np.sqrt(n * 250))
        assert np.isclose(sds.mean(), 1.5, rtol=0.04)
        assert np.isclose(means.std(), errors.mean(), rtol=0.15)
        off = means - np.array([mean for _, mean in made])
        assert np.isclose(
            np.sqrt(np.mean(off**2)), np.mean([one.conversion_error for one, _ in made]), rtol=0.2
        )

    def test_large_samples_have_the_errors_of_theory(self):
        made = mean_from_quartiles(Quartiles(median=0.0, q1=-0.6745, q3=0.6745), n=2000)
        assert np.isclose(made.mean_error * np.sqrt(2000), 1.078, rtol=0.06)
        assert np.isclose(made.conversion_error * np.sqrt(2000), np.sqrt(1.162 - 1), rtol=0.06)
        assert np.isclose(made.sd_error * np.sqrt(2000), 1.166, rtol=0.06)

    def test_the_range_helps(self):
        alone = mean_from_quartiles(Quartiles(median=4.0, q1=2.5, q3=6.0), n=20)
        ranged = mean_from_quartiles(Quartiles(median=4.0, q1=2.5, q3=6.0, minimum=0.0, maximum=8.5), n=20)
        assert ranged.mean_error / ranged.sd < alone.mean_error / alone.sd


class TestRefused:
    def test_counts(self):
        with pytest.raises(PublishedFigureError, match="counts"):
            mean_from_quartiles(published.ZMIRA_2020["alemtuzumab"].relapses_year_1.figure, n=35)

    @pytest.mark.parametrize("quartiles", [(0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 1.0)])
    def test_quartiles_that_coincide(self, quartiles):
        median, q1, q3 = quartiles
        with pytest.raises(PublishedFigureError, match="coincide"):
            mean_from_quartiles(Quartiles(median=median, q1=q1, q3=q3), n=35)

    def test_clear_skewness_which_normal_samples_show_in_one_of_twenty(self):
        with pytest.raises(PublishedFigureError, match="clearly skew"):
            mean_from_quartiles(published.ZMIRA_2020["alemtuzumab"].edss_year_2.figure, n=35)
        q1, median, q3 = np.quantile(samples(400, 4000, seed=5), [0.25, 0.5, 0.75], axis=1)
        skew = np.sqrt(400) * np.abs(q1 + q3 - 2 * median) / (q3 - q1)
        assert 0.035 < np.mean(skew > 2.66) < 0.065

    def test_other_kinds_and_too_few(self):
        with pytest.raises(PublishedFigureError, match="not a mean without SD"):
            mean_from_quartiles(Mean(mean=3.0), n=35)
        with pytest.raises(PublishedFigureError, match="too few"):
            mean_from_quartiles(Quartiles(median=4.0, q1=2.5, q3=6.0), n=4)

    def test_a_published_value_brings_its_patients(self):
        figure = published.ZMIRA_2020["alemtuzumab"].edss_baseline
        assert mean_from_quartiles(figure) == mean_from_quartiles(figure.figure, n=35)
        assert mean_from_quartiles(figure, n=35) == mean_from_quartiles(figure)
        with pytest.raises(PublishedFigureError, match="stands on 35 patients, not 36"):
            mean_from_quartiles(figure, n=36)
        with pytest.raises(TypeError, match="give n="):
            mean_from_quartiles(figure.figure)
        with pytest.raises(TypeError, match=r"Quartiles\(median=….*not tuple"):
            mean_from_quartiles((35, 29, 42), n=100)

    def test_a_conversion_for_other_patients(self):
        made = mean_from_quartiles(Quartiles(median=4.0, q1=2.5, q3=6.0), n=35)
        with pytest.raises(PublishedFigureError, match="convert them again"):
            made.spread(40)
