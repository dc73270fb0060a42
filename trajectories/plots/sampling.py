"""Figures of the sampler: did the chains agree, and which parameters are hard to tell apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.fitting.diagnostics import convergence_table, population
from trajectories.fitting.fit import Fit, row_name
from trajectories.plots.style import DOUBLE, PALETTE, SMALL, dress, fix_ticks, style, warnings_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["diagnostics", "pairs"]

_SHOWN = 6
_PAIRS = 5


def diagnostics(fit: Fit, terms: Sequence[str] | None = None) -> Figure:
    """Draw the traces and the ranks of population parameters, by chain.

    Chains that agree have traces that look alike and rank curves near 0: the difference between the cumulative distribution of a
    chain's ranks among all draws and the uniform one. Written in is the p-value of a test that the chains agree, which takes
    autocorrelation into account.

    Parameters
    ----------
    fit
        A `Fit` by NUTS.
    terms
        Rows of `fit.summary()`; None for the six with the smallest bulk effective sample size.

    Returns
    -------
    A matplotlib Figure, 7.2 inches wide.

    Raises
    ------
    ValueError
        If the fit holds draws from the prior or of `tj.approximate`, or a term does not exist.

    Source: rank plots are those of Vehtari et al. (2021), doi:10.1214/20-BA1221, drawn by ArviZ.
    """
    draws, table = _terms(fit), _convergence(fit)
    chosen = _chosen(terms, draws, table["ess_bulk"].nsmallest(_SHOWN).index.tolist())
    divergent = int(fit.data["sample_stats"]["diverging"].sum())
    caption = (
        f"Left: draws by chain; triangles: divergent transitions ({divergent} of {_size(fit)} draws). Right: difference of the ranks' "
        "cumulative distribution from the uniform one, by chain; p: test that the chains agree; black: ranks that speak most against it. "
        f"{len(chosen)} of {len(draws)} population parameters{'' if terms else ', those with the smallest bulk ESS'}. Over all: largest "
        f"R-hat {table['r_hat'].max():.3f}, smallest bulk ESS {table['ess_bulk'].min():.0f}, smallest tail ESS "
        f"{table['ess_tail'].min():.0f}. {fit.design.n_patients} patients, {len(fit.design.frame)} rows."
    )
    with style():
        figure = _trace_and_rank(_tree(fit, draws, chosen))
        rows = itertools.batched(figure.axes, 2)
        for k, (name, row) in enumerate(zip(chosen, rows, strict=True)):
            _label_row(row, f"{name}   (R-hat {table['r_hat'][name]:.3f})", last=k == len(chosen) - 1)
        dress(
            figure,
            title=f"Convergence, {fit.model.formula}",
            warnings=warnings_of(caveats=fit.caveats),
            caption=caption,
            width=DOUBLE,
            height=0.4 + 0.9 * len(chosen),
        )
    return figure


def _trace_and_rank(tree: xr.DataTree) -> Figure:
    import arviz as az

    trace = {
        "title": False,
        "trace": {"width": 0.3},
        "divergence": {"marker": "^", "color": "#000000", "size": 12},
    }
    plots = [
        (az.plot_trace, {"visuals": trace}),
        (az.plot_rank, {"visuals": {"title": False, "ecdf_lines": {"width": 1}}}),
    ]
    return _released(az.combine_plots(tree, plots, plot_names=["trace", "rank"], backend="matplotlib"))


def _label_row(row: Sequence[Any], name: str, *, last: bool) -> None:
    left, right = row
    left.set(ylabel="", xlabel="draw" if last else "")
    left.set_title(name, fontsize=SMALL, loc="left", pad=2)
    p = [text.get_text() for text in right.texts]
    for text in list(right.texts):
        text.remove()
    right.set(title="", xlabel="fractional rank" if last else "")
    if p:
        written = p[0].split("(")[0].replace("=", " = ").replace("p = 0.00", "p < 0.005")
        right.set_title(written, fontsize=SMALL, loc="right", pad=2)
    for ax in (left, right):
        ax.xaxis.label.set_fontsize(SMALL)
        ax.yaxis.label.set_fontsize(SMALL)
        fix_ticks(ax)
        ax.tick_params(labelbottom=last)


def pairs(fit: Fit, terms: Sequence[str] | None = None) -> Figure:
    """Draw population parameters against each other, with divergent transitions marked.

    Parameters
    ----------
    fit
        A `Fit` by NUTS.
    terms
        Two to eight rows of `fit.summary()`; None for the patient effects' standard deviations and correlations and the first fixed
        terms, five in all.

    Returns
    -------
    A matplotlib Figure, 7.2 inches wide.

    Raises
    ------
    ValueError
        If the fit holds draws from the prior, a term does not exist, or there are fewer than two or more than eight.
    """
    import arviz as az

    draws = _terms(fit)
    random = [name for name in draws if name.startswith(("sd(", "cor("))]
    fixed = [name for name in draws if name in fit.design.fixed_terms]
    chosen = _chosen(terms, draws, (random + fixed + [n for n in draws if n not in random + fixed])[:_PAIRS])
    if not 2 <= len(chosen) <= 8:
        raise ValueError(f"a pair plot takes two to eight terms, not {len(chosen)}.")
    divergent = int(fit.data["sample_stats"]["diverging"].sum())
    visuals = {
        "scatter": {"size": 2, "alpha": 0.25, "color": PALETTE[0]},
        "divergence": {"size": 10, "alpha": 1, "color": PALETTE[1], "marker": "^"} if divergent else False,
        "dist": {"color": PALETTE[0]},
    }
    with style():
        matrix = az.plot_pair(_tree(fit, draws, chosen), visuals=visuals, backend="matplotlib")
        figure = _released(matrix)
        for ax in figure.axes:
            fix_ticks(ax)
            for label in (ax.xaxis.label, ax.yaxis.label):
                label.set(fontsize=SMALL, text=label.get_text().replace(":", ":\n"))
        dress(
            figure,
            title=f"Pairs of parameters, {fit.model.formula}",
            warnings=warnings_of(caveats=fit.caveats),
            caption=f"{len(chosen)} of {len(draws)} population parameters, {_size(fit)} draws; triangles: the {divergent} draws that "
            f"diverged. Diagonal: densities. {fit.design.n_patients} patients, {len(fit.design.frame)} rows.",
            width=DOUBLE,
            height=6.4,
        )
    return figure


def _released(collection: Any) -> Figure:
    """Take the figure out of ArviZ's collection and out of pyplot's list of open figures."""
    import matplotlib.pyplot as plt

    figure: Figure = collection.viz["figure"].item()
    plt.close(figure)
    return figure


def _terms(fit: Fit) -> dict[str, xr.DataArray]:
    """Draws of each population parameter (chain × draw), by its name in the summary."""
    if fit.source != "posterior":
        raise ValueError(
            "draws from the prior were not sampled by chains: there is no convergence to look at."
        )
    if not fit.from_chains:
        raise ValueError(
            "draws of tj.approximate come from one sample of proposals, not from chains: its check is the Pareto k that the print shows."
        )
    found = {}
    for name, array in population(fit.parameters).data_vars.items():
        if array.ndim == 2:
            found[row_name(str(name), "")] = array
        else:
            dim = array.dims[2]
            for label in array[dim].to_numpy():
                found[row_name(str(name), str(label))] = array.sel({dim: label})
    return {name: xr.DataArray(array.to_numpy(), dims=("chain", "draw")) for name, array in found.items()}


def _convergence(fit: Fit) -> pd.DataFrame:
    table = convergence_table(fit.parameters)
    return table.set_axis([row_name(name, label) for name, label in table.index])


def _tree(fit: Fit, draws: dict[str, xr.DataArray], chosen: list[str]) -> xr.DataTree:
    kept = xr.Dataset({name: draws[name] for name in chosen})
    coords = {"chain": np.arange(kept.sizes["chain"]), "draw": np.arange(kept.sizes["draw"])}
    stats = fit.data["sample_stats"].to_dataset()[["diverging"]]
    return xr.DataTree.from_dict(
        {"posterior": kept.assign_coords(coords), "sample_stats": stats.assign_coords(coords)}
    )


def _chosen(terms: Sequence[str] | None, draws: dict[str, xr.DataArray], default: list[str]) -> list[str]:
    unknown = [name for name in terms or () if name not in draws]
    if unknown or (terms is not None and not terms):
        raise ValueError(f"there is no term {', '.join(unknown) or 'given'}; there are: {', '.join(draws)}.")
    return default if terms is None else list(dict.fromkeys(terms))


def _size(fit: Fit) -> int:
    return int(fit.parameters.sizes["chain"] * fit.parameters.sizes["draw"])
