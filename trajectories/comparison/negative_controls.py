"""Negative controls: an outcome that the drug cannot affect shows what bias the comparison has."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.caveats import warning_lines
from trajectories.estimate import Estimate, check_ci
from trajectories.printing import sentence

__all__ = ["NegativeControl", "negative_control"]

NO_PROOF = "an interval that covers no effect does not show that there is no bias: a wide one covers much"
UNNAMED = "the names of the two contrasts do not both say of which arms they are: that they are of the same is yours to check"
INDEPENDENT = "the two contrasts are taken as independent; made of the same patients they are not, and the interval is approximate"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class NegativeControl:
    """What a contrast on a negative-control outcome says of the main one.

    Parameters
    ----------
    control
        The contrast on the outcome that the drug cannot affect: anything but no effect in it is bias.
    covers_null
        Whether its interval of probability `ci` covers no effect.
    main, calibrated
        The main contrast, and the same less the bias seen in the control, if equally large biases were assumed; else None.
    ci
        Probability of the intervals.
    """

    control: Estimate
    covers_null: bool
    main: Estimate | None
    calibrated: Estimate | None
    ci: float

    @property
    def verdict(self) -> str:
        """One sentence."""
        row = self.control.summary(self.ci).iloc[0]
        interval = f"{row['median']:.3g} ({self.ci:.0%} interval {row['lower']:.3g} to {row['upper']:.3g})"
        if self.covers_null:
            return f"the control shows no bias that could be seen: {interval}"
        return f"the control shows BIAS: {interval} where the truth is {self.control.null:g}; the main contrast is likely biased too"

    def summary(self) -> pd.DataFrame:
        """Return a row each of control, main and calibrated contrast: `median`, `lower`, `upper`."""
        parts = {"control": self.control, "main": self.main, "calibrated": self.calibrated}
        rows = {
            name: part.summary(self.ci).iloc[0][["median", "lower", "upper"]]
            for name, part in parts.items()
            if part
        }
        frame = pd.DataFrame(rows).T.astype(float)
        frame.attrs.update(verdict=self.verdict, notes=list(self._notes()))
        return frame

    def _notes(self) -> tuple[str, ...]:
        unnamed = self.main is not None and None in (_pair(self.control), _pair(self.main))
        return (
            NO_PROOF,
            *((UNNAMED,) if unnamed else ()),
            *(() if self.calibrated is None else self.calibrated.caveats[-2:]),
        )

    def __str__(self) -> str:
        lines = [f"Negative control: {self.control.name} ({self.control.unit})"]
        lines += [] if self.main is None else [f"Main contrast: {self.main.name} ({self.main.unit})"]
        lines += [str(self.summary().round(3).to_string())]
        for note in (self.verdict, *self._notes()):
            lines += sentence(note, bullet="  - ")
        return warning_lines(self.control.caveats) + "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def negative_control(
    control: Estimate,
    main: Estimate | None = None,
    *,
    equal_bias: bool = False,
    ci: float = 0.95,
    seed: int = 0,
) -> NegativeControl:
    """Ask a contrast on an outcome that the drug cannot affect whether the comparison is biased.

    Under no bias the contrast is no effect. With `equal_bias` the main contrast is also given less that of the control (divided by it, for
    ratios), which is right only if both outcomes have the same bias on that scale.

    Parameters
    ----------
    control
        A contrast of one cell on the control outcome, such as relapses before treatment, or EDSS at time 0.
    main
        The contrast of interest, of the same arms on the same scale.
    equal_bias
        Whether to assume that both are equally biased, and calibrate.
    ci
        Probability of the intervals.
    seed
        Seed for pairing draws that are not of the same fit.

    Returns
    -------
    `NegativeControl`; print it to read it.

    Raises
    ------
    ValueError
        If an estimate is no contrast of one cell, or the scales of the two differ, or their arms, as far as their names hold them.

    References
    ----------
    Lipsitch et al. 2010 (doi:10.1097/EDE.0b013e3181d61eeb).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = Estimate(
    ...     name="relapses before", draws=xr.DataArray(np.exp(rng.normal(0.4, 0.1, (1, 999))), dims=("chain", "draw")), unit="ratio",
    ...     definition="An example.", source="made up", null=1.0,
    ... )
    >>> negative_control(before).covers_null
    False
    """
    check_ci(ci)
    for one in (control, *([] if main is None else [main])):
        if one.null is None or one.draws.sizes["chain"] * one.draws.sizes["draw"] != one.draws.size:
            raise ValueError(
                f"{one.name} is no contrast of one cell: make one by contrast(…), with a value for no effect."
            )
    if main is not None:
        _refuse(control, main)
    row = control.summary(ci).iloc[0]
    covers = bool(row["lower"] <= control.null <= row["upper"])
    if equal_bias and main is None:
        raise ValueError("give main=…, the contrast to calibrate.")
    calibrated = _calibrated(control, main, seed) if equal_bias and main is not None else None
    return NegativeControl(control=control, covers_null=covers, main=main, calibrated=calibrated, ci=ci)


def _refuse(control: Estimate, main: Estimate) -> None:
    """Refuse two contrasts of different scales, or of different arms."""
    if main.null != control.null or (main.null == 0 and main.unit != control.unit):
        raise ValueError(
            f"{main.name} ({main.unit}) and {control.name} ({control.unit}) are not on one scale, and the bias of one says nothing of the "
            "other's size: give both as ratios, or as differences in one unit, or the control alone."
        )
    arms, others = _pair(main), _pair(control)
    if arms is not None and others is not None and arms != others:
        raise ValueError(
            f"the main contrast is of {' against '.join(arms)} and the control of {' against '.join(others)}: give the control contrast of the "
            f"same arms in the same order, contrast(…, {arms[0]!r}, {arms[1]!r})."
        )


def _pair(estimate: Estimate) -> tuple[str, str] | None:
    """The arms that a contrast's name ends with, "…, new minus old" or "…, new over old"; None in another name.

    >>> draws = xr.DataArray(np.zeros((1, 9)), dims=("chain", "draw"))
    >>> _pair(Estimate(name="EDSS, new minus old", draws=draws, unit="points", definition="An example.", source="made up"))
    ('new', 'old')
    """
    found = re.search(r", ([^,]+) (?:minus|over) ([^,]+)$", estimate.name)
    return None if found is None else (found[1], found[2])


def _calibrated(control: Estimate, main: Estimate, seed: int) -> Estimate:
    draws = main.draws.to_numpy().ravel()
    bias = np.random.default_rng(seed).choice(control.draws.to_numpy().ravel(), draws.size)
    values = draws - bias if main.null == 0 else draws / bias
    assumed = (
        "calibrated as if the main contrast had exactly the bias of the control, which nothing here can show"
    )
    return Estimate(
        name=f"{main.name}, calibrated by {control.name}",
        draws=xr.DataArray(values[None, :], dims=("chain", "draw")),
        unit=main.unit,
        definition=f"{main.definition} Less the bias seen in the control.",
        source=f"{main.source}, calibrated",
        caveats=(*main.caveats, assumed, INDEPENDENT),
        null=main.null,
        higher_is_worse=main.higher_is_worse,
    )
