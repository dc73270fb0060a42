"""Files and frames in: CSV, Parquet, Excel, with the numbers that the user knows the rows by."""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from trajectories.tables import CohortError, Table

__all__ = ["load"]

_FORMATS = ".csv, .parquet or .xlsx"
_SIGNATURES = {
    b"PK\x03\x04": ("an Excel workbook (or another zip archive)", ".xlsx"),
    b"PAR1": ("a Parquet file", ".parquet"),
    b"\xd0\xcf\x11\xe0": ("an old or password-protected Excel file", None),
    b"\x1f\x8b": ("compressed by gzip", None),
    b"\xff\xfe": ("text in UTF-16", None),
    b"\xfe\xff": ("text in UTF-16", None),
}


def load(name: str, source: str | os.PathLike[str] | pd.DataFrame) -> Table:
    """Load a table.

    Parameters
    ----------
    name
        `visits`, `relapses`, `adverse_events`, …; also the sheet to read if a workbook has several.
    source
        A DataFrame, or the path of a CSV (comma-separated, UTF-8), Parquet or Excel (.xlsx) file.

    Returns
    -------
    The table. The cells of CSV and Excel files have no type yet: an identifier 007 keeps its zeros.

    Raises
    ------
    CohortError
        If the file does not exist, is empty, or is not what its name says.
    TypeError
        If `source` is neither a path nor a DataFrame.
    """
    if isinstance(source, pd.DataFrame):
        return _from_frame(name, source, "DataFrame, rows by index label")
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"{name} must be a path or a pandas DataFrame, not {type(source).__name__}.")
    path = Path(source).expanduser()
    readers = {".csv": _read_csv, ".parquet": _read_parquet, ".pq": _read_parquet, ".xlsx": _read_excel}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        advice = " Save an old .xls workbook as .xlsx." if path.suffix.lower() == ".xls" else ""
        _fail(name, path, "has an ending that is not known.", f"give a file that ends in {_FORMATS}.{advice}")
    if not path.is_file():
        kind = "is a folder, not a file." if path.is_dir() else "does not exist."
        _fail(name, path, kind, f"check the path; a relative one starts from {Path.cwd()}.")
    if path.stat().st_size == 0:
        _fail(name, path, "is empty.", "export the table again, with a header line.")
    return reader(name, path)


def _fail(name: str, path: Path, what: str, remedy: str) -> NoReturn:
    raise CohortError(f"{name}: the file '{path}' {what}\n  What to do: {remedy}") from None


def _from_frame(name: str, frame: pd.DataFrame, source: str) -> Table:
    if isinstance(frame.columns, pd.MultiIndex):
        raise CohortError(
            f"{name} ({source}): the columns have several levels.\n  What to do: give them one name each."
        )
    rows = list(frame.index)
    plain = frame.reset_index(drop=True)
    plain.columns = _headings(name, source, [str(column) for column in frame.columns])
    inside = [str(level) for level in frame.index.names if level is not None]
    if inside:
        source += f"; the index holds {', '.join(inside)}: reset_index() makes columns of it"
    return Table(name=name, source=source, row_word="index", rows=rows, frame=plain)


def _headings(name: str, source: str, headings: list[str]) -> list[str]:
    stripped = [heading.strip() or f"Unnamed: {i}" for i, heading in enumerate(headings)]
    twice = sorted({heading for heading in stripped if stripped.count(heading) > 1})
    if twice:
        raise CohortError(
            f"{name} ({source}): more than one column is called {', '.join(map(repr, twice))}.\n"
            "  What to do: rename or remove all but one."
        )
    return stripped


def _read_parquet(name: str, path: Path) -> Table:
    _expect(name, path, b"PAR1", "a Parquet file")
    try:
        frame = pd.read_parquet(path)
    except (ValueError, OSError, NotImplementedError, KeyError):  # what pyarrow's errors are, too
        _fail(name, path, "cannot be read as Parquet: it is damaged or incomplete.", "export it again.")
    return _from_frame(name, frame, f"{path.name}, rows by index label")


def _expect(name: str, path: Path, signature: bytes, kind: str) -> None:
    """Check that the file begins as its format does."""
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(signature):
        return
    found, ending = _looks_like(start)
    remedy = f"rename it to end in {ending}." if ending else f"export it again as {kind}."
    _fail(name, path, f"is not {kind}, as its name says, but looks like {found}.", remedy)


def _looks_like(content: bytes) -> tuple[str, str | None]:
    for signature, (kind, ending) in _SIGNATURES.items():
        if content.startswith(signature):
            return kind, ending
    return ("binary data", None) if b"\0" in content else ("text", ".csv")


def _read_excel(name: str, path: Path) -> Table:
    _expect(name, path, b"PK\x03\x04", "an Excel workbook")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and drop-down lists that it leaves out
            with pd.ExcelFile(path, engine="openpyxl") as workbook:
                read = {sheet.title: _cells(sheet) for sheet in workbook.book.worksheets}
    except Exception:  # openpyxl lets through whatever its XML and zip readers raise
        _fail(name, path, "cannot be read as an Excel workbook: it is damaged.", "save it again as .xlsx.")
    sheets = {title: _padded(rows) for title, rows in read.items() if any(map(_any_content, rows))}
    if not sheets:
        _fail(name, path, "is an empty workbook.", "export the table again, with a header row.")
    chosen = (
        [title for title in sheets if title.strip().casefold().replace(" ", "_") == name]
        if len(sheets) > 1
        else list(sheets)
    )
    if len(chosen) != 1:
        _fail(
            name,
            path,
            f"has {len(sheets)} sheets: {', '.join(map(repr, sheets))}.",
            f"call the one to read '{name}', or give a workbook with one sheet.",
        )
    return _from_records(name, path, "row", list(enumerate(sheets[chosen[0]], start=1)))


def _cells(sheet: Any) -> list[tuple[Any, ...]]:
    """Read a sheet; the size that a file claims for it may be wrong."""
    sheet.reset_dimensions()
    return [tuple(row) for row in sheet.iter_rows(values_only=True)]


def _padded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Lengthen rows that end early, as a sheet leaves out empty cells at the end."""
    width = max((len(row) for row in rows), default=0)
    return [row + (None,) * (width - len(row)) for row in rows]


def _read_csv(name: str, path: Path) -> Table:
    content = path.read_bytes()
    found, ending = _looks_like(content)
    if found != "text":
        remedy = (
            f"rename it to end in {ending}." if ending else "save the table as CSV (UTF-8, comma-separated)."
        )
        _fail(name, path, f"is not a CSV file, as its name says, but looks like {found}.", remedy)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as failed:
        line = content[: failed.start].count(b"\n") + 1
        _fail(name, path, f"is not UTF-8 text (line {line}).", "save it as 'CSV UTF-8'.")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        records = []
        start = 1
        for record in reader:
            records.append((start, record))
            start = reader.line_num + 1
    except csv.Error as failed:
        _fail(
            name,
            path,
            f"is not readable as CSV near line {reader.line_num}: {failed}.",
            "check the quotes there.",
        )
    _check_separator(name, path, text.lstrip().split("\n", 1)[0])
    return _from_records(name, path, "line", records)


def _check_separator(name: str, path: Path, header: str) -> None:
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if header.count(separator) > header.count(","):
            _fail(
                name,
                path,
                f"is separated by {word}, not by commas; numbers may have decimal commas, too.",
                f"pass pd.read_csv({path.name!r}, sep={separator!r}, decimal=',') instead of the path "
                "(decimal='.' if it has decimal points), or save it with commas between columns and decimal "
                "points.",
            )


def _from_records(name: str, path: Path, row_word: str, records: list[tuple[int, Any]]) -> Table:
    """Make a table of cells from numbered records, the first of them the header; empty ones are no rows."""
    filled = [(row, cells) for row, cells in records if _any_content(cells)]
    if not filled:
        _fail(name, path, "is empty.", "export the table again, with a header line.")
    (first, header), *body = filled
    source = f"{path.name}; the header is {row_word} {first}"
    width = max(i for i, cell in enumerate(header, start=1) if _any_content([cell]))
    ragged = [(row, len(cells)) for row, cells in body if len(cells) < width or _any_content(cells[width:])]
    if ragged:
        raise CohortError(_ragged(f"{name} ({source})", row_word, ragged, width))
    headings = _headings(name, source, ["" if cell is None else str(cell) for cell in header[:width]])
    frame = pd.DataFrame([tuple(cells[:width]) for _, cells in body], columns=headings, dtype=object)
    rows = [row for row, _ in body]
    return Table(name=name, source=source, row_word=row_word, rows=rows, frame=frame, cells=True)


def _any_content(cells: Sequence[object]) -> bool:
    return any(cell is not None and (not isinstance(cell, str) or cell.strip()) for cell in cells)


def _ragged(where: str, row_word: str, ragged: list[tuple[int, int]], width: int) -> str:
    shown = [f"  {row_word} {row}: {n} instead of {width}" for row, n in ragged[:10]]
    more = [f"  … and {len(ragged) - 10} more"] if len(ragged) > 10 else []
    remedy = (
        "  What to do: quote cells that contain a comma, write numbers with a decimal point, and check that "
        "the file was not cut off."
    )
    what = f"{where}: {len(ragged)} rows have another number of cells than the header."
    return "\n".join([what, *shown, *more, remedy])
