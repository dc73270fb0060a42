"""Own cohort beside published cohorts: a forest of what was seen here, weighted and not, and of what was printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trajectories.comparison.unanchored import AgainstPublished
from trajectories.estimate import check_ci
from trajectories.plots.style import (
    BLACK,
    DOUBLE,
    GREY,
    PALETTE,
    SMALL,
    interval,
    number,
    percent,
    sheet,
    style,
    warnings_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["beside_published"]


type Comparisons = AgainstPublished | Sequence[AgainstPublished]

_MARKS = {"own": ("o", PALETTE[0]), "weighted": ("D", PALETTE[0]), "published": ("s", GREY)}


@dataclass(frozen=True, kw_only=True)
class _Line:
    label: str
    sort: str
    median: float
    lower: float
    upper: float
    size: str
    kind: str

    @property
    def bare(self) -> bool:
        """A published figure without any uncertainty."""
        return self.lower == self.upper


def beside_published(
    comparisons: Mapping[str, Comparisons], *, ci: float = 0.95, title: str | None = None
) -> Figure:
    """Draw own results and published figures below each other: point, interval, n and kind of each; a panel a quantity.

    Parameters
    ----------
    comparisons
        Name of the own row ("own cohort", "own, weighted to CARE-MS II") to what `against_published` returned, or to several of these: the
        own row and each published figure stand once in their panel.
    ci
        Probability of the intervals.
    title
        What to write above.

    Returns
    -------
    A matplotlib Figure, 7.2 inches wide. Circles are own results, diamonds own results weighted, squares published figures; a square
    without a line was printed without interval.

    Raises
    ------
    ValueError
        If there is no comparison, or ci is no probability.
    """
    check_ci(ci)
    pairs = [
        (name, one)
        for name, given in comparisons.items()
        for one in ([given] if isinstance(given, AgainstPublished) else given)
    ]
    if not pairs:
        raise ValueError("there is no comparison to draw: give at least one.")
    panels: dict[tuple[str, str], list[_Line]] = {}
    for name, one in pairs:
        lines = panels.setdefault((one.own.name, one.own.unit), [])
        lines += [line for line in _lines(name, one, ci) if line not in lines]
    for lines in panels.values():
        lines.sort(key=lambda line: line.sort == "published")
    heights = [0.7 + 0.21 * len(lines) for lines in panels.values()]
    caveats = list(dict.fromkeys(caveat for _, one in pairs for caveat in one.caveats))
    with style():
        figure, axes = sheet(
            title="Own cohort beside published cohorts" if title is None else title,
            warnings=warnings_of(caveats=caveats),
            caption=_caption(caveats, ci),
            width=DOUBLE,
            height=sum(heights),
            rows=len(panels),
            columns=2,
            ratios=(1, 1.4),
            heights=heights,
        )
        for (left, right), ((quantity, unit), lines) in zip(axes, panels.items(), strict=True):
            _panel(left, f"{quantity} ({unit})", lines)
            _numbers(right, lines, ci)
            right.set_ylim(left.get_ylim())
    return figure


def _lines(name: str, one: AgainstPublished, ci: float) -> list[_Line]:
    rows = one.summary(ci)
    found = dict(zip(rows.index, rows[["median", "lower", "upper"]].to_numpy(dtype=float), strict=True))
    size = "" if one.patients is None else f"{one.patients:,}"
    if one.effective is not None:
        size += f" (eff. {one.effective:.0f})"
    own = "own" if one.weighted is None else "weighted"
    sides = (("own", own, name, size), ("published", "published", one.published.name, f"{one.published.n:,}"))
    return [
        _Line(
            label=label,
            sort=sort,
            median=float(found[row][0]),
            lower=float(found[row][1]),
            upper=float(found[row][2]),
            size=said,
            kind=str(rows.loc[row, "kind"]),
        )
        for row, sort, label, said in sides
    ]


def _panel(ax: Axes, label: str, lines: list[_Line]) -> None:
    for place, line in zip(range(len(lines) - 1, -1, -1), lines, strict=True):
        marker, colour = _MARKS[line.sort]
        if not line.bare:
            ax.plot([line.lower, line.upper], [place] * 2, color=colour, linewidth=1.4, zorder=2)
        face = "white" if line.bare else colour
        ax.plot(
            [line.median], [place], color=colour, marker=marker, markersize=4.5, markerfacecolor=face, zorder=3, gid=line.sort
        )  # fmt: skip
    if min(line.lower for line in lines) < 0:
        ax.axvline(0, color=BLACK, linewidth=0.8, zorder=1)
    else:
        ax.set_xlim(left=0)
    ax.set_yticks(range(len(lines) - 1, -1, -1), [line.label for line in lines])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set(ylim=(-0.6, len(lines) + 0.3), xlabel=label)


def _numbers(ax: Axes, lines: list[_Line], ci: float) -> None:
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    columns = (0.0, 0.43, 0.68)
    heads = (f"value ({percent(ci)} interval)", "n", "kind")
    for x, head in zip(columns, heads, strict=True):
        ax.text(x, len(lines) - 0.1, head, fontsize=SMALL, va="center", color=GREY)
    for place, line in zip(range(len(lines) - 1, -1, -1), lines, strict=True):
        text = (
            number(line.median)
            if line.bare
            else f"{number(line.median)} ({interval(line.lower, line.upper)})"
        )
        for x, said in zip(columns, (text, line.size, line.kind), strict=True):
            ax.text(x, place, said, fontsize=SMALL, va="center", gid="numbers")


def _caption(caveats: list[str], ci: float) -> str:
    first = (
        "Circles: own cohort; diamonds: own cohort weighted to published means (eff.: effective sample size); squares: published, open "
        f"where no interval was printed. Lines: {percent(ci)} intervals."
    )
    kept = [caveat for caveat in caveats if caveat.startswith(("unanchored", "ACCEPTED", "definitions"))]
    return " ".join([first, *(f"{caveat[:1].upper()}{caveat[1:]}." for caveat in kept)])
