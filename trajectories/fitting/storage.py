"""Saved fits: one netCDF file with the draws, the specification as JSON and the design, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from trajectories import models, priors
from trajectories.fitting.diagnostics import Problem
from trajectories.fitting.fit import Fit
from trajectories.formulas import level_order, parse
from trajectories.models.design import Design

__all__ = ["load_fit", "save", "value_from_json", "value_to_json"]

FORMAT = 1


def save(fit: Fit, path: Path) -> Path:
    """Write a fit beside its final name, then rename: an interrupted write leaves an older file as it was."""
    tree = fit.data.copy()
    tree["design_frame"] = xr.DataTree(_frame_to_dataset(fit.design.frame, "visit"))
    tree["design_target"] = xr.DataTree(_frame_to_dataset(fit.design.target, "patient"))
    tree.attrs = {"trajectories_format": FORMAT, "trajectories_fit": json.dumps(_specification(fit))}
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    part.touch(exist_ok=False)  # not tempfile's mkstemp, which lets nobody else read the file
    try:
        tree.to_netcdf(part, engine="h5netcdf")
        if path.exists():
            shutil.copymode(path, part)  # as open() leaves the mode of a file that is there
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def load_fit(path: str | os.PathLike[str]) -> Fit:
    """Read a fit that `Fit.save` wrote; every estimand works on it without refitting.

    Parameters
    ----------
    path
        The netCDF file.

    Raises
    ------
    ValueError
        If the file is not a saved fit, or was written by a newer version.

    Examples
    --------
    >>> import tempfile
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> model = models.OrdinalMixed("edss ~ years + (1 | patient)")
    >>> prior = tj.sample_prior(model, tj.simulated_alemtuzumab_35(), draws=50, seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     loaded = tj.load_fit(prior.save(Path(folder) / "prior.nc"))
    >>> loaded.model == model
    True
    """
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except OSError as error:
        raise ValueError(f"{path} is not a fit saved by trajectories: {error}") from error
    if "trajectories_fit" not in tree.attrs:
        raise ValueError(f"{path} is not a fit saved by trajectories: it has no specification in it.")
    if tree.attrs["trajectories_format"] > FORMAT:
        raise ValueError(
            f"{path} was saved by a newer version of trajectories: install that version to read it."
        )
    said = json.loads(tree.attrs["trajectories_fit"])
    data = xr.DataTree.from_dict(
        {n: g.to_dataset() for n, g in tree.children.items() if not n.startswith("design_")}
    )
    model = value_from_json(said["model"])
    return Fit(
        model=model,
        design=_design(model.formula, said["design"], tree),
        data=data,
        found=tuple(Problem(**problem) for problem in said["found"]),
        settings=said["settings"],
        versions=said["versions"],
        source=said["source"],
    )


def _specification(fit: Fit) -> dict[str, Any]:
    design = fit.design
    return {
        "model": value_to_json(fit.model),
        "found": [dataclasses.asdict(problem) for problem in fit.found],
        "settings": dict(fit.settings),
        "versions": dict(fit.versions),
        "source": fit.source,
        "design": {
            "excluded": design.excluded,
            "arms": design.arms,
            "cohort_name": design.cohort_name,
            "simulated": design.simulated,
            "index_date": design.index_date,
            "exposure": design.exposure is not None,
        },
    }


def _design(formula: str, said: Mapping[str, Any], tree: xr.DataTree) -> Design:
    frame = _frame_from_dataset(tree["design_frame"].to_dataset())
    return Design(
        formula=parse(formula, frame, groups=True),
        frame=frame,
        target=_frame_from_dataset(tree["design_target"].to_dataset()),
        exposure=frame["exposure"].to_numpy(dtype=float) if said["exposure"] else None,
        excluded=tuple(said["excluded"]),
        arms=tuple(said["arms"]),
        cohort_name=said["cohort_name"],
        simulated=said["simulated"],
        index_date=said["index_date"],
    )


def _frame_to_dataset(frame: pd.DataFrame, dim: str) -> xr.Dataset:
    """Numbers as they are; text and categories as text, their order kept in an attribute."""
    variables: dict[str, xr.Variable] = {}
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            variables[str(name)] = xr.Variable(dim, column.to_numpy(dtype=float))
        else:
            text, order = column.astype(str).to_numpy(dtype=object), level_order(column)
            variables[str(name)] = xr.Variable(dim, text, {"categories": json.dumps(order)})
    # The columns' own dim may be called like a column ("patient"): a prefix keeps them apart.
    return xr.Dataset(
        {f"column {name}": v for name, v in variables.items()}, attrs={"order": json.dumps(list(variables))}
    )


def _frame_from_dataset(dataset: xr.Dataset) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for name in json.loads(dataset.attrs["order"]):
        variable = dataset[f"column {name}"]
        values = variable.to_numpy()
        if "categories" in variable.attrs:
            categories = json.loads(variable.attrs["categories"])
            columns[name] = pd.Categorical(values.astype(object), categories=categories, ordered=True)
        else:
            columns[name] = values.astype("int64") if name == "patient" else values
    return pd.DataFrame(columns)


def value_to_json(value: Any) -> Any:
    """Turn a specification (frozen dataclasses of numbers, text, mappings) into JSON-ready data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        content = {f.name: value_to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"value": type(value).__name__, **content}
    if isinstance(value, Mapping):
        return {"mapping": {key: value_to_json(item) for key, item in value.items()}}
    if isinstance(value, tuple | list):
        return [value_to_json(item) for item in value]
    return value


def value_from_json(data: Any) -> Any:
    """Turn `value_to_json`'s data back into the specification; sequences become tuples."""
    if isinstance(data, list):
        return tuple(value_from_json(item) for item in data)
    if not isinstance(data, dict):
        return data
    if "mapping" in data:
        return {key: value_from_json(item) for key, item in data["mapping"].items()}
    kind = _known(data["value"])
    return kind(**{key: value_from_json(item) for key, item in data.items() if key != "value"})


def _known(name: str) -> Any:
    for module in (models, priors):
        if name in module.__all__:
            return getattr(module, name)
    raise ValueError(
        f"this version of trajectories does not know {name!r}: the fit was saved by another version."
    )
