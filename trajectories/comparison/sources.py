"""Published figures with all that belongs to them: whose they are, when, over which window, and where they are printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trajectories.comparison.figures import (
    EventCount,
    Figure,
    HazardRatio,
    MeanSD,
    PublishedFigureError,
    Quartiles,
    Rate,
    RateInterval,
    RateRatio,
    Share,
)

__all__ = [
    "EDSS",
    "RATE",
    "SHARE",
    "Published",
    "PublishedArm",
    "PublishedStudy",
    "Source",
    "check_published",
]

EDSS, RATE, SHARE = "EDSS points", "relapses per person-year", "probability"
"""Units, as estimates of the package have them."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a figure is printed.

    >>> str(Source(authors="Cohen et al.", year=2012, journal="Lancet", doi="10.1016/S0140-6736(12)61769-3"))
    'Cohen et al. 2012, Lancet, doi:10.1016/S0140-6736(12)61769-3'
    """

    authors: str
    year: int
    journal: str
    doi: str | None = None

    def __str__(self) -> str:
        return f"{self.authors} {self.year}, {self.journal}" + (f", doi:{self.doi}" if self.doi else "")


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published figure: what it is of, its kind, whose, over which window, and where it is printed.

    Parameters
    ----------
    quantity
        What it is, short: "annualised relapse rate", "change in EDSS".
    unit
        "EDSS points", "relapses per person-year", "probability", or that of a covariate: "years".
    figure
        The number and its kind, such as `RateInterval(rate=0.18, lower=0.13, upper=0.23)`.
    study, arm, population
        Name of the study, of the arm, and who the patients were in one sentence.
    n
        Patients the figure stands on.
    source
        Where it is printed.
    window
        Start and end in years since the start of treatment, None for the end of follow-up; None for a value at one time.
    at
        Years from time 0 of a value at one time; None for a baseline value.
    definition
        What else must be known to set another figure beside it: confirmation, how it was estimated.
    null
        0 for a change, 1 for a ratio: the value of no effect, where there is one.
    enrolled
        First and last calendar year of enrolment, where known.
    enrolment
        Where these years are to be read; if they are not known, why.

    Raises
    ------
    PublishedFigureError
        If n is no number of patients, the window or the enrolment is empty, or the kind cannot have the unit.

    Examples
    --------
    >>> from trajectories.comparison.figures import RateInterval
    >>> mine = Published(
    ...     quantity="annualised relapse rate", unit="relapses per person-year", study="Registry", arm="cladribine",
    ...     population="relapsing MS, one clinic", n=120, window=(0, 2), figure=RateInterval(rate=0.2, lower=0.15, upper=0.27),
    ...     source=Source(authors="Nobody et al.", year=2024, journal="an example"),
    ... )
    >>> print(mine)
    Registry, cladribine (n = 120): annualised relapse rate 0.2 (0.15 to 0.27) relapses per person-year [rate with interval;
      0 to 2 years; Nobody et al. 2024, an example]
    """

    quantity: str
    unit: str
    figure: Figure
    study: str
    arm: str
    population: str
    n: int
    source: Source
    window: tuple[float, float | None] | None = None
    definition: str = ""
    null: float | None = None
    enrolled: tuple[int, int] | None = None
    enrolment: str = ""
    at: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.figure, Figure):
            raise PublishedFigureError(
                f"figure must say its kind, such as MeanSD(mean=2.7, sd=1.3), not {self.figure!r}."
            )
        if int(self.n) != self.n or self.n < 1:
            raise PublishedFigureError(f"n must be a number of patients, not {self.n}.")
        if self.window is not None and self.window[1] is not None and not self.window[0] < self.window[1]:
            raise PublishedFigureError(f"a window ends after it starts; here it is {self.window}.")
        if self.enrolled is not None and self.enrolled[0] > self.enrolled[1]:
            raise PublishedFigureError(f"enrolment ends after it starts; here it is {self.enrolled}.")
        _check_unit(self.figure, self.unit)

    @property
    def name(self) -> str:
        """Study and arm."""
        return f"{self.study}, {self.arm}"

    @property
    def kind(self) -> str:
        """What sort of number it is."""
        return self.figure.kind

    def over(self) -> str:
        """Say the window in words."""
        if self.window is None:
            return "at baseline" if self.at is None else f"at {self.at:.2g} years"
        start, end = self.window
        return f"{start:g} to {'end of follow-up' if end is None else f'{end:g} years'}"

    def __str__(self) -> str:
        facts = [self.kind, self.over(), *([self.definition] if self.definition else []), str(self.source)]
        number = _printed(self.figure)
        plain = isinstance(self.figure, RateRatio | HazardRatio | Share) and (
            self.unit == "ratio" or number.startswith("share of")
        )
        unit = "" if plain else f" {self.unit}"
        return f"{self.name} (n = {self.n:,}): {self.quantity} {number}{unit} [{facts[0]};\n  {'; '.join(facts[1:])}]"


@dataclass(frozen=True, kw_only=True)
class PublishedArm:
    """The figures of one arm of a study, by name: `arm.arr`, or `arm["arr"]`.

    >>> from trajectories.comparison import published
    >>> published.CARE_MS_1["alemtuzumab"].arr.figure.value
    0.18
    """

    name: str
    figures: Mapping[str, Published] = field(repr=False)

    def __getitem__(self, name: str) -> Published:
        if name not in self.figures:
            raise PublishedFigureError(
                f"{self.name} has no figure {name!r} here; there are: {', '.join(self.figures)}."
            )
        return self.figures[name]

    def __getattr__(self, name: str) -> Published:
        figures = self.__dict__.get("figures", {})  # absent while being unpickled
        if name not in figures:
            raise AttributeError(f"this arm has no figure {name!r}; there are: {', '.join(figures)}.")
        found: Published = figures[name]
        return found

    def __str__(self) -> str:
        return "\n".join(str(figure) for figure in self.figures.values())


@dataclass(frozen=True, kw_only=True)
class PublishedStudy:
    """A published study: its arms by name, and the contrasts between them that were printed.

    >>> from trajectories.comparison import published
    >>> published.CARE_MS_2.contrasts["worsening"].figure.value
    0.58
    """

    name: str
    arms: Mapping[str, PublishedArm] = field(repr=False)
    contrasts: Mapping[str, Published] = field(default_factory=dict, repr=False)

    def __getitem__(self, arm: str) -> PublishedArm:
        if arm not in self.arms:
            raise PublishedFigureError(f"{self.name} has no arm {arm!r}; it has: {', '.join(self.arms)}.")
        return self.arms[arm]

    def __str__(self) -> str:
        parts = [str(arm) for arm in self.arms.values()] + [str(ratio) for ratio in self.contrasts.values()]
        return "\n".join([self.name, *parts])


def check_published(given: object) -> None:
    """Refuse what is not one published figure with its source, with the way to one.

    Raises
    ------
    TypeError
        For a number, a figure alone, an arm or a study.

    Examples
    --------
    >>> check_published(0.26)
    Traceback (most recent call last):
    TypeError: this needs one published figure, a Published, not float. Make one: Published(quantity=…, unit=…, figure=…, n=…, source=…, …).
    """
    if isinstance(given, Published):
        return
    made = "Make one: Published(quantity=…, unit=…, figure=…, n=…, source=…, …)."
    if isinstance(given, PublishedStudy):
        made = f"Choose an arm of {given.name} ({', '.join(given.arms)}), then one of its figures: study[arm].arr, say."
    elif isinstance(given, PublishedArm):
        made = f"Choose one figure of {given.name}: {', '.join(given.figures)}."
    raise TypeError(f"this needs one published figure, a Published, not {type(given).__name__}. {made}")


def _check_unit(figure: Figure, unit: str) -> None:
    if isinstance(figure, Rate | RateInterval | EventCount) and "per person-year" not in unit:
        raise PublishedFigureError(
            f"{figure.kind} has a unit per person-year, such as {RATE!r}, not {unit!r}."
        )
    if isinstance(figure, Share) != (unit == SHARE):
        raise PublishedFigureError(
            f"a share, and nothing else, has the unit {SHARE!r}; {figure.kind} was given {unit!r}."
        )


def _printed(figure: Figure) -> str:
    """Write a figure as papers do."""
    if isinstance(figure, EventCount):
        return f"{figure.value:.3g} ({figure.events} events in {figure.person_years:g} person-years)"
    if isinstance(figure, Quartiles):
        return f"{figure.median:g} ({figure.q1:g}–{figure.q3:g})"
    if isinstance(figure, Share) and figure.level is not None:
        return f"share of {figure.level} {figure.share:g}"
    if isinstance(figure, MeanSD):
        return f"{figure.mean:g} (SD {figure.sd:g})"
    limits = [getattr(figure, end) for end in ("lower", "upper") if hasattr(figure, end)]
    return f"{figure.value:g}" + (f" ({limits[0]:g} to {limits[1]:g})" if limits else "")
