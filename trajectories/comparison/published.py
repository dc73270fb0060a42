"""Published results as values: what was printed, its kind, of whom, where; nothing is filled in that a source does not say.

Every figure was read in its source. Where a paper gives a rate without interval or counts it is a `Rate` here, and comparisons with it
must be asked for in words. The values are examples of `Published`, which anybody can make for another study.

>>> print(CARE_MS_1["alemtuzumab"].arr)
CARE-MS I, alemtuzumab (n = 376): annualised relapse rate 0.18 (0.13 to 0.23) relapses per person-year [rate with interval;
  0 to 2 years; Cohen et al. 2012, Lancet, doi:10.1016/S0140-6736(12)61769-3]
"""

from __future__ import annotations

from dataclasses import replace

from trajectories.comparison.figures import (
    EventCount,
    Figure,
    HazardRatio,
    Mean,
    MeanInterval,
    MeanSD,
    PublishedFigureError,
    Quartiles,
    Rate,
    RateInterval,
    RateRatio,
    Share,
)
from trajectories.comparison.sources import (
    EDSS,
    RATE,
    SHARE,
    Published,
    PublishedArm,
    PublishedStudy,
    Source,
)

__all__ = [
    "AFFIRM",
    "CARE_MS_1",
    "CARE_MS_2",
    "FREEDOMS",
    "HIRST_2008",
    "MARTINEZ_YELAMOS_2006",
    "MURARO_2025",
    "OPERA",
    "TOP",
    "ZMIRA_2020",
    "EventCount",
    "Figure",
    "HazardRatio",
    "Mean",
    "MeanInterval",
    "MeanSD",
    "Published",
    "PublishedArm",
    "PublishedFigureError",
    "PublishedStudy",
    "Quartiles",
    "Rate",
    "RateInterval",
    "RateRatio",
    "Share",
    "Source",
]

_TWO_YEARS = (0.0, 2.0)
_CARE_MS_BASELINE = Source(
    authors="baseline table in Fernández", year=2014, journal="J Inflamm Res", doi="10.2147/JIR.S38079"
)


def _arr(figure: Figure, base: Published) -> Published:
    return replace(base, quantity="annualised relapse rate", unit=RATE, figure=figure)


def _relapses(events: int, person_years: float, patients_with: int, base: Published) -> Published:
    counted = EventCount(events=events, person_years=person_years, patients_with=patients_with)
    return replace(_arr(counted, base), definition="person-years as events and the published rate imply")


def _change(mean: float, lower: float, upper: float, base: Published) -> Published:
    figure = MeanInterval(mean=mean, lower=lower, upper=upper)
    return replace(base, quantity="change in EDSS", unit=EDSS, figure=figure, null=0.0)


def _share(share: float, quantity: str, definition: str, base: Published) -> Published:
    return replace(base, quantity=quantity, unit=SHARE, figure=Share(share=share), definition=definition)


def _ratio(figure: Figure, definition: str, both: Published) -> Published:
    return replace(both, quantity=figure.kind, unit="ratio", figure=figure, definition=definition, null=1.0)


def _baseline(base: Published, women: float, **figures: tuple[float, float]) -> dict[str, Published]:
    """Baseline means and SDs, keyed as columns of a cohort, for weights that match them."""
    units = {
        "age": "years",
        "edss_baseline": EDSS,
        "duration_years": "years",
        "relapses_year_before": "relapses",
    }
    base = replace(base, window=None, source=_CARE_MS_BASELINE)
    made = {
        name: replace(base, quantity=name, unit=units[name], figure=MeanSD(mean=mean, sd=sd))
        for name, (mean, sd) in figures.items()
    }
    return {
        "sex": replace(base, quantity="sex", unit=SHARE, figure=Share(share=women, level="F")), **made
    }  # fmt: skip


def _base(
    study: str, population: str, source: Source, *, enrolment: str, enrolled: tuple[int, int] | None = None
) -> Published:
    """What the figures of a study share; the figure itself is replaced."""
    return Published(
        quantity="", unit="", figure=Mean(mean=0.0), study=study, arm="", population=population, n=1, source=source,
        window=_TWO_YEARS, enrolled=enrolled, enrolment=enrolment,
    )  # fmt: skip


def _arms(study: str, **arms: dict[str, Published]) -> dict[str, PublishedArm]:
    named = {name.replace("_", " "): figures for name, figures in arms.items()}
    return {name: PublishedArm(name=f"{study}, {name}", figures=figures) for name, figures in named.items()}


def _care_ms_1() -> PublishedStudy:
    source = Source(authors="Cohen et al.", year=2012, journal="Lancet", doi="10.1016/S0140-6736(12)61769-3")
    base = _base(
        "CARE-MS I",
        "untreated relapsing MS, EDSS 0 to 3, at most 5 years from onset; randomised trial",
        source,
        enrolled=(2007, 2009),
        enrolment="ClinicalTrials.gov NCT00530348: started August 2007, primary completion April 2011, with two years for each patient",
    )
    interferon = replace(base, arm="interferon beta-1a", n=187)
    alemtuzumab = replace(base, arm="alemtuzumab", n=376)
    both = replace(base, n=563, arm="alemtuzumab over interferon beta-1a")
    return PublishedStudy(
        name="CARE-MS I",
        arms=_arms(
            "CARE-MS I",
            interferon={
                "arr": _arr(RateInterval(rate=0.39, lower=0.29, upper=0.53), interferon),
                "relapses": _relapses(122, 313.0, 75, interferon),
                "edss_change": _change(-0.14, -0.29, 0.01, interferon),
                **_baseline(
                    interferon, 0.65, age=(33.2, 8.5), edss_baseline=(2.0, 0.8), duration_years=(2.0, 1.3),
                    relapses_year_before=(1.8, 0.8),
                ),
            },
            alemtuzumab={
                "arr": _arr(RateInterval(rate=0.18, lower=0.13, upper=0.23), alemtuzumab),
                "relapses": _relapses(119, 661.0, 82, alemtuzumab),
                "edss_change": _change(-0.14, -0.25, -0.02, alemtuzumab),
                **_baseline(
                    alemtuzumab, 0.65, age=(33.0, 8.0), edss_baseline=(2.0, 0.8), duration_years=(2.1, 1.4),
                    relapses_year_before=(1.8, 0.8),
                ),
            },
        ),
        contrasts={
            "arr": _ratio(RateRatio(ratio=0.45, lower=0.32, upper=0.63), "relapses", both),
            "worsening": _ratio(HazardRatio(ratio=0.70, lower=0.40, upper=1.23), "worsening confirmed at 6 months, CARE-MS rule", both),
        },
    )  # fmt: skip


def _care_ms_2() -> PublishedStudy:
    source = Source(authors="Coles et al.", year=2012, journal="Lancet", doi="10.1016/S0140-6736(12)61768-1")
    base = _base(
        "CARE-MS II",
        "relapsing MS that relapsed on an earlier drug, EDSS 0 to 5; randomised trial",
        source,
        enrolled=(2007, 2009),
        enrolment="ClinicalTrials.gov NCT00548405: started October 2007, completion September 2011, with two years for each patient",
    )
    interferon = replace(base, arm="interferon beta-1a", n=202)
    alemtuzumab = replace(base, arm="alemtuzumab", n=426)
    both = replace(base, n=628, arm="alemtuzumab over interferon beta-1a")
    worse, better = "confirmed at 6 months, CARE-MS rule", "confirmed at 6 months, baseline EDSS 2.0 or more"
    return PublishedStudy(
        name="CARE-MS II",
        arms=_arms(
            "CARE-MS II",
            interferon={
                "arr": _arr(RateInterval(rate=0.52, lower=0.41, upper=0.66), interferon),
                "worsening": _share(0.211, "confirmed worsening", worse, interferon),
                "improvement": _share(0.13, "confirmed improvement", better, interferon),
                "edss_change": _change(0.24, 0.07, 0.41, interferon),
                **_baseline(
                    interferon, 0.65, age=(35.8, 8.8), edss_baseline=(2.7, 1.2), duration_years=(4.7, 2.9),
                    relapses_year_before=(1.5, 0.8),
                ),
            },
            alemtuzumab={
                "arr": _arr(RateInterval(rate=0.26, lower=0.21, upper=0.33), alemtuzumab),
                "worsening": _share(0.127, "confirmed worsening", worse, alemtuzumab),
                "improvement": _share(0.29, "confirmed improvement", better, alemtuzumab),
                "edss_change": _change(-0.17, -0.29, -0.05, alemtuzumab),
                **_baseline(
                    alemtuzumab, 0.66, age=(34.8, 8.4), edss_baseline=(2.7, 1.3), duration_years=(4.5, 2.7),
                    relapses_year_before=(1.7, 0.9),
                ),
            },
        ),
        contrasts={
            "arr": _ratio(RateRatio(ratio=0.51, lower=0.39, upper=0.65), "relapses", both),
            "worsening": _ratio(HazardRatio(ratio=0.58, lower=0.38, upper=0.87), "worsening " + worse, both),
        },
    )  # fmt: skip


def _opera() -> PublishedStudy:
    source = Source(authors="Hauser et al.", year=2017, journal="N Engl J Med", doi="10.1056/NEJMoa1601277")
    base = _base(
        "OPERA I/II",
        "relapsing MS; two randomised trials",
        source,
        enrolment="first enrolment in 2011 by the WHO register (EUCTR2010-020315-36); the last year was not found",
    )
    base = replace(
        base, window=(0.0, 1.84), n=1656, definition="96 weeks; the same rate in each of the two trials"
    )
    both = replace(base, n=1656, arm="ocrelizumab over interferon beta-1a")
    return PublishedStudy(
        name="OPERA I/II",
        arms=_arms(
            "OPERA I/II",
            interferon={"arr": _arr(Rate(rate=0.29), replace(base, arm="interferon beta-1a", n=829))},
            ocrelizumab={"arr": _arr(Rate(rate=0.16), replace(base, arm="ocrelizumab", n=827))},
        ),
        contrasts={
            "worsening_12_weeks": _ratio(HazardRatio(ratio=0.60, lower=0.45, upper=0.81), "worsening confirmed at 12 weeks", both),
            "worsening_24_weeks": _ratio(HazardRatio(ratio=0.60, lower=0.43, upper=0.84), "worsening confirmed at 24 weeks", both),
        },
    )  # fmt: skip


def _affirm() -> PublishedStudy:
    source = Source(authors="Polman et al.", year=2006, journal="N Engl J Med", doi="10.1056/NEJMoa044397")
    base = _base(
        "AFFIRM",
        "relapsing MS; randomised trial",
        source,
        enrolled=(2001, 2002),
        enrolment="ClinicalTrials.gov NCT00027300: started November 2001, completion January 2005, with up to 116 weeks for each patient",
    )
    sustained = "confirmed at 12 weeks, over 2 years"

    def arm(name: str, n: int, rate: float, worse: float) -> dict[str, Published]:
        mine = replace(base, arm=name, n=n)
        return {
            "arr": _arr(Rate(rate=rate), mine),
            "worsening": _share(worse, "confirmed worsening", sustained, mine),
        }

    arms = _arms(
        "AFFIRM", placebo=arm("placebo", 315, 0.67, 0.29), natalizumab=arm("natalizumab", 627, 0.22, 0.17)
    )
    return PublishedStudy(name="AFFIRM", arms=arms)


def _freedoms() -> PublishedStudy:
    source = Source(authors="Kappos et al.", year=2010, journal="N Engl J Med", doi="10.1056/NEJMoa0909494")
    base = _base(
        "FREEDOMS",
        "relapsing MS; randomised trial, fingolimod 0.5 mg",
        source,
        enrolled=(2006, 2007),
        enrolment="ClinicalTrials.gov NCT00289978: started January 2006, completion July 2009, with two years for each patient",
    )
    ratio = HazardRatio(ratio=0.70, lower=0.52, upper=0.96)
    return PublishedStudy(
        name="FREEDOMS",
        arms=_arms(
            "FREEDOMS",
            placebo={"arr": _arr(Rate(rate=0.40), replace(base, arm="placebo", n=418))},
            fingolimod={"arr": _arr(Rate(rate=0.18), replace(base, arm="fingolimod", n=425))},
        ),
        contrasts={
            "worsening": _ratio(
                ratio, "worsening confirmed at 3 months", replace(base, n=843, arm="fingolimod over placebo")
            )
        },
    )


def _muraro() -> PublishedStudy:
    source = Source(authors="Muraro et al.", year=2025, journal="Ann Neurol", doi="10.1002/ana.27247")
    base = _base(
        "Muraro 2025",
        "relapsing MS, one London hospital; observational, modelled data",
        source,
        enrolment="the years were not in what could be read of it",
    )
    first, second = (
        "mean of modelled data, median follow-up 43 months",
        "mean of modelled data, median follow-up 32 months",
    )
    alemtuzumab = replace(base, arm="alemtuzumab", n=204, window=(0.0, 5.0), definition=first)
    ocrelizumab = replace(base, arm="ocrelizumab", n=314, window=(0.0, 3.0), definition=second)
    return PublishedStudy(
        name="Muraro 2025",
        arms=_arms(
            "Muraro 2025",
            alemtuzumab={"arr": _arr(Rate(rate=0.087), alemtuzumab)},
            ocrelizumab={"arr": _arr(Rate(rate=0.073), ocrelizumab)},
        ),
    )


def _zmira() -> PublishedStudy:
    source = Source(
        authors="Zmira et al.", year=2020, journal="Acta Neurol Belg", doi="10.1007/s13760-020-01375-6"
    )
    base = _base(
        "Zmira 2020",
        "relapsing MS started on alemtuzumab, one centre; single-arm cohort",
        source,
        enrolment="the years were not in what could be read of it",
    )
    base = replace(
        base,
        arm="alemtuzumab",
        n=35,
        definition="the number seen at each time was not published; n is the cohort",
    )
    edss = {
        "edss_year_before": (4.0, 1.5, 5.1, -1.0), "edss_baseline": (4.0, 2.5, 6.0, 0.0),
        "edss_year_1": (4.8, 2.9, 6.0, 1.0), "edss_year_2": (3.0, 2.5, 6.5, 2.0),
    }  # fmt: skip
    relapses = {
        "relapses_year_before": (2.0, 1.0, 3.0, -1.0), "relapses_year_1": (0.0, 0.0, 1.0, 0.0),
        "relapses_year_2": (0.0, 0.0, 0.0, 1.0),
    }  # fmt: skip
    figures = {
        name: replace(
            base, quantity=f"EDSS at {at:g} years", unit=EDSS, figure=Quartiles(median=m, q1=a, q3=b), window=None, at=at or None
        )
        for name, (m, a, b, at) in edss.items()
    } | {
        name: replace(
            base, quantity="relapses in a year", unit="relapses", window=(at, at + 1),
            figure=Quartiles(median=m, q1=a, q3=b, count=True),
        )
        for name, (m, a, b, at) in relapses.items()
    }  # fmt: skip
    age = replace(
        base, quantity="age", unit="years", figure=MeanSD(mean=37.3, sd=10.5), window=None, definition=""
    )
    sex = replace(
        base,
        quantity="sex",
        unit=SHARE,
        figure=Share(share=19 / 35, level="F"),
        window=None,
        definition="19 of 35",
    )
    return PublishedStudy(
        name="Zmira 2020", arms=_arms("Zmira 2020", alemtuzumab=figures | {"age": age, "sex": sex})
    )


def _martinez_yelamos() -> PublishedStudy:
    source = Source(
        authors="Martínez-Yélamos et al.", year=2006, journal="Mult Scler", doi="10.1177/1352458506070820"
    )
    base = _base(
        "Martínez-Yélamos 2006",
        "untreated relapsing MS with two or more relapses in two years",
        source,
        enrolment="the years were not in what could be read of it",
    )
    base = replace(base, arm="untreated", n=44, definition="mean number of relapses in the year")
    return PublishedStudy(
        name="Martínez-Yélamos 2006",
        arms=_arms(
            "Martínez-Yélamos 2006",
            untreated={
                "arr_year_before": _arr(MeanSD(mean=1.72, sd=1.4), replace(base, window=(-1.0, 0.0))),
                "arr": _arr(MeanSD(mean=1.0, sd=1.3), replace(base, window=(0.0, 1.0))),
            },
        ),
    )


def _top() -> PublishedStudy:
    source = Source(
        authors="Tysabri Observational Program",
        year=2022,
        journal="data of November 2022, as given by the sponsor",
    )
    base = _base(
        "TOP",
        "relapsing MS started on natalizumab; observational, single arm",
        source,
        enrolment="from July 2007 on by the sponsor; the last year was not found",
    )
    base = replace(base, arm="natalizumab", n=6321)
    return PublishedStudy(
        name="TOP",
        arms=_arms(
            "TOP",
            natalizumab={
                "arr_year_before": _arr(Rate(rate=2.00), replace(base, window=(-1.0, 0.0))),
                "arr": _arr(Rate(rate=0.25), replace(base, window=(0.0, 1.0))),
            },
        ),
    )


def _hirst() -> PublishedStudy:
    source = Source(authors="Hirst et al.", year=2008, journal="J Neurol", doi="10.1007/s00415-008-0743-8")
    base = _base(
        "Hirst 2008",
        "MS with a relapse that was assessed before, during and after it; time 0 is the relapse",
        source,
        enrolment="the years are not in the abstract, which is all that could be read",
    )
    base = replace(
        base, arm="relapses", n=182, unit=EDSS, window=None, definition="mean over 279 relapses of 182 patients, without SD"
    )  # fmt: skip
    after = replace(
        base, definition=f"{base.definition}; on average 127 days after the relapse", at=127 / 365.25
    )
    figures = {
        "edss_before": replace(base, quantity="EDSS before a relapse", figure=Mean(mean=3.73)),
        "edss_during": replace(base, quantity="EDSS during a relapse", figure=Mean(mean=5.18), at=0.0),
        "edss_after": replace(after, quantity="EDSS after a relapse", figure=Mean(mean=4.23)),
        "residual_change": replace(after, quantity="EDSS after less before a relapse", figure=Mean(mean=0.50), null=0.0),
    }  # fmt: skip
    return PublishedStudy(name="Hirst 2008", arms=_arms("Hirst 2008", relapses=figures))


CARE_MS_1 = _care_ms_1()
"""CARE-MS I: alemtuzumab and interferon beta-1a in untreated patients."""

CARE_MS_2 = _care_ms_2()
"""CARE-MS II: alemtuzumab and interferon beta-1a after another drug."""

OPERA = _opera()
"""OPERA I and II: ocrelizumab and interferon beta-1a."""

AFFIRM = _affirm()
"""AFFIRM: natalizumab and placebo."""

FREEDOMS = _freedoms()
"""FREEDOMS: fingolimod 0.5 mg and placebo."""

MURARO_2025 = _muraro()
"""One London cohort on alemtuzumab and on ocrelizumab."""

ZMIRA_2020 = _zmira()
"""The founding cohort: 35 patients on alemtuzumab, medians only."""

MARTINEZ_YELAMOS_2006 = _martinez_yelamos()
"""Untreated patients chosen as trials choose them: how far relapses fall with no drug at all."""

TOP = _top()
"""Natalizumab in practice: before and after, a single arm."""

HIRST_2008 = _hirst()
"""What a relapse does to the EDSS, and what of it is left four months later."""
