"""Published figures: kinds, validation, and what can be computed from them alone."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from trajectories.comparison import published
from trajectories.comparison.figures import (
    EventCount,
    HazardRatio,
    MeanInterval,
    MeanSD,
    PublishedFigureError,
    Quartiles,
    Rate,
    RateInterval,
    Share,
)
from trajectories.comparison.sources import PublishedStudy
from trajectories.comparison.summary_rates import rate_ratio_from_summary

ALEMTUZUMAB = published.CARE_MS_1["alemtuzumab"]
INTERFERON = published.CARE_MS_1["interferon"]


class TestCareMs:
    def test_the_ratio_from_counts_is_that_of_the_trial_to_two_digits(self):
        made = rate_ratio_from_summary(ALEMTUZUMAB.relapses, INTERFERON.relapses)
        assert (round(made.ratio, 2), round(made.lower, 2), round(made.upper, 2)) == (0.46, 0.34, 0.64)
        trial = published.CARE_MS_1.contrasts["arr"].figure
        assert (trial.ratio, trial.lower, trial.upper) == (0.45, 0.32, 0.63)
        assert np.allclose([made.ratio, made.lower, made.upper], [0.45, 0.32, 0.63], atol=0.02)

    def test_swapping_the_arms_inverts_it(self):
        one = rate_ratio_from_summary(ALEMTUZUMAB.relapses, INTERFERON.relapses)
        other = rate_ratio_from_summary(INTERFERON.relapses, ALEMTUZUMAB.relapses)
        assert np.isclose(one.ratio * other.ratio, 1)
        assert np.isclose(one.lower * other.upper, 1)
        assert one.dispersion == other.dispersion[::-1]

    def test_the_published_rates_are_events_over_person_years(self):
        for arm in (ALEMTUZUMAB, INTERFERON):
            assert round(arm.relapses.figure.value, 2) == arm.arr.figure.value


class TestDispersion:
    @pytest.mark.parametrize(("alpha", "mu"), [(0.9, 0.65), (2.0, 0.32), (0.2, 1.5)])
    def test_the_share_without_events_is_that_of_scipy(self, alpha, mu):
        n = 1_000_000
        free = stats.nbinom(1 / alpha, 1 / (1 + alpha * mu)).pmf(0)
        counted = EventCount(events=round(mu * n), person_years=1.0, patients_with=round((1 - free) * n))
        assert np.isclose(counted.dispersion(n), alpha, rtol=1e-4)

    def test_poisson_counts_or_fewer_zeros_have_none(self):
        assert EventCount(events=100, person_years=1.0, patients_with=90).dispersion(100) == 0.0

    def test_the_interval_covers_the_rate_of_simulated_trials(self):
        rng = np.random.default_rng(4)
        inside, n, mu, alpha = 0, 150, 0.65, 0.9
        for _ in range(1000):
            y = rng.negative_binomial(1 / alpha, 1 / (1 + alpha * mu), n)
            counted = EventCount(events=int(y.sum()), person_years=float(n), patients_with=int((y > 0).sum()))
            lower, upper = counted.spread(n).limits(0.95)
            inside += lower < mu < upper
        assert 930 <= inside <= 970

    def test_everybody_with_an_event_says_nothing(self):
        with pytest.raises(PublishedFigureError, match="leave patients_with out"):
            EventCount(events=20, person_years=9.0, patients_with=10).dispersion(10)


class TestSpread:
    def test_intervals_come_back(self):
        for figure in (
            RateInterval(rate=0.2, lower=0.1, upper=0.4),
            HazardRatio(ratio=0.5, lower=0.25, upper=1.0),
            MeanInterval(mean=-0.2, lower=-0.4, upper=0.0),
        ):
            assert np.allclose(figure.spread(10).limits(0.95), (figure.lower, figure.upper))

    def test_an_interval_of_90_percent_is_narrower_than_its_standard_error_at_95(self):
        wide = RateInterval(rate=0.2, lower=0.1, upper=0.4, ci=0.9).spread(1)
        assert np.isclose(wide.error, math.log(4) / (2 * 1.6448536))

    def test_a_share_has_the_error_of_a_logit(self):
        lower, upper = Share(share=0.25).spread(400).limits(0.95)
        exact = stats.binomtest(100, 400).proportion_ci(method="wilson")
        assert np.allclose((lower, upper), (exact.low, exact.high), atol=0.003)

    def test_draws_have_the_moments(self):
        draws = MeanSD(mean=1.0, sd=1.3).spread(44).draws(np.random.default_rng(1), 100_000)
        assert np.isclose(draws.std(), 1.3 / math.sqrt(44), rtol=0.01)


class TestBadInput:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: MeanSD(mean=1.0, sd=-1.0),
            lambda: RateInterval(rate=0.5, lower=0.1, upper=0.4),
            lambda: RateInterval(rate=0.5, lower=0.0, upper=0.6),
            lambda: Share(share=12.7),
            lambda: Quartiles(median=1.0, q1=2.0, q3=3.0),
            lambda: Quartiles(median=1.0, q1=0.0, q3=3.0, minimum=0.0),
            lambda: EventCount(events=3, person_years=10.0, patients_with=5),
            lambda: EventCount(events=3, person_years=0.0),
            lambda: Rate(rate=0.0),
            lambda: replace(ALEMTUZUMAB.arr, n=0),
            lambda: replace(ALEMTUZUMAB.arr, window=(2.0, 1.0)),
            lambda: replace(ALEMTUZUMAB.arr, unit="EDSS points"),
            lambda: replace(ALEMTUZUMAB.edss_change, unit="probability"),
            lambda: replace(ALEMTUZUMAB.arr, figure=0.18),
            lambda: published.CARE_MS_1["ocrelizumab"],
            lambda: ALEMTUZUMAB["lesions"],
        ],
    )
    def test_is_a_named_error(self, make):
        with pytest.raises(PublishedFigureError):
            make()

    def test_a_figure_that_is_not_there_says_which_are(self):
        with pytest.raises(AttributeError, match="there are: arr, relapses"):
            ALEMTUZUMAB.lesions  # noqa: B018

    def test_kinds_without_standard_error_name_the_remedy(self):
        with pytest.raises(PublishedFigureError, match="mean_from_quartiles"):
            published.ZMIRA_2020["alemtuzumab"].edss_year_2.figure.spread(35)
        with pytest.raises(PublishedFigureError, match="neither a mean nor a rate"):
            published.ZMIRA_2020["alemtuzumab"].relapses_year_2.figure.spread(35)

    def test_a_ratio_of_rates_needs_counts_with_patients(self):
        with pytest.raises(PublishedFigureError, match="needs events and person-years"):
            rate_ratio_from_summary(ALEMTUZUMAB.arr, INTERFERON.relapses)
        bare = replace(INTERFERON.relapses, figure=EventCount(events=122, person_years=313.0))
        with pytest.raises(PublishedFigureError, match="give patients_with"):
            rate_ratio_from_summary(ALEMTUZUMAB.relapses, bare)


STUDIES = [value for value in vars(published).values() if isinstance(value, PublishedStudy)]


def test_every_study_is_there_with_source_and_patients():
    assert len(STUDIES) == 10
    for study in STUDIES:
        figures = [f for arm in study.arms.values() for f in arm.figures.values()] + list(
            study.contrasts.values()
        )
        assert figures
        assert all(figure.n >= 35 and figure.source.year >= 2006 and figure.arm for figure in figures)
        assert study.name in str(study)


def test_years_of_enrolment_have_a_source_or_a_reason():
    figures = {s.name: next(iter(next(iter(s.arms.values())).figures.values())) for s in STUDIES}
    assert {name: f.enrolled for name, f in figures.items() if f.enrolled} == {
        "CARE-MS I": (2007, 2009), "CARE-MS II": (2007, 2009), "AFFIRM": (2001, 2002), "FREEDOMS": (2006, 2007),
    }  # fmt: skip
    for figure in figures.values():
        assert figure.enrolment.startswith("ClinicalTrials.gov NCT") if figure.enrolled else figure.enrolment
        # nobody enters after the paper, nor less than the length of follow-up before it
        assert figure.enrolled is None or figure.enrolled[1] <= figure.source.year - 2
    with pytest.raises(PublishedFigureError, match="enrolment ends after it starts"):
        replace(ALEMTUZUMAB.arr, enrolled=(2009, 2007))


def test_what_a_relapse_leaves_and_when():
    made = published.HIRST_2008["relapses"]
    before, during, after = (
        made.edss_before.figure.value,
        made.edss_during.figure.value,
        made.edss_after.figure.value,
    )
    assert after - before == pytest.approx(made.residual_change.figure.value)
    assert during - before == pytest.approx(1.45)
    assert "at 0.35 years" in str(made.edss_after)
    assert "at 1 years" in str(published.ZMIRA_2020["alemtuzumab"].edss_year_1)
    with pytest.raises(PublishedFigureError, match="without SD"):
        made.edss_after.figure.spread(182)


def test_arms_survive_copies_and_pickles():
    assert copy.deepcopy(ALEMTUZUMAB).arr == ALEMTUZUMAB.arr
    assert pickle.loads(pickle.dumps(published.CARE_MS_1)) == published.CARE_MS_1


def test_prints_read_as_papers_do():
    trial = published.CARE_MS_1
    assert ": sex share of F 0.65 [" in str(trial["alemtuzumab"].sex)
    assert ": rate ratio 0.45 (0.32 to 0.63) [" in str(trial.contrasts["arr"])
