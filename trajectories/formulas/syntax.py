"""What a formula may look like: refusals of what formulae would read as something else, or silently leave out."""

from __future__ import annotations

import re

__all__ = ["PATIENT", "FormulaError", "names", "outline_of", "refuse_syntax", "response_of"]

PATIENT = "patient"

EXAMPLE = "'edss ~ arm * years + (1 + years | patient)'"
_NAME = r"[^\W\d][\w.]*"
_GROUP = r"\(([^()|]*)\|([^()|]*)\)"


class FormulaError(ValueError):
    """A formula that cannot be used: the message says which part and what to write instead."""


def response_of(text: str) -> str:
    """Return the outcome of a formula, the name on its left.

    Examples
    --------
    >>> response_of("edss ~ years + (1 | patient)")
    'edss'
    """
    return text.split("~", 1)[0].strip()


def names(text: str) -> list[str]:
    """Return every name on the right of a formula, in order, functions included."""
    return re.findall(_NAME, text.split("~", 1)[1])


def refuse_syntax(text: str) -> None:
    """Raise a FormulaError for what cannot be used, or what formulae would read in a way that nobody means.

    formulae stops reading at an operator it does not expect, without a word: of `years + age > 40` it keeps `years + age`, of
    `years + 1 | patient` only `years`.
    """
    if text.count("~") != 1 or not response_of(text).isidentifier():
        raise FormulaError(f"the formula {text!r} needs one outcome on its left, as in {EXAMPLE}.")
    outline = outline_of(text)
    if "||" in outline:
        raise FormulaError(
            f"'||' (uncorrelated patient effects) is not offered in {text!r}: write '|'; the correlation is estimated."
        )
    _refuse_operators(outline, text)
    fixed, effects = re.sub(_GROUP, " ", outline), [left for left, _ in re.findall(_GROUP, outline)]
    if "|" in fixed:
        raise FormulaError(
            f"patient effects stand in brackets of their own, as in {EXAMPLE}: check the brackets of {text!r}."
        )
    _refuse_intercepts([fixed, *effects], text)
    _refuse_names(text, [*re.findall(_NAME, fixed), *re.findall(_NAME, " ".join(effects))])


def outline_of(text: str) -> str:
    """Return the right of a formula without the arguments of functions."""
    return _without_calls(text.split("~")[1], text)


def _without_calls(right: str, text: str) -> str:
    """Blank out the arguments of functions, and {…}, where arithmetic is allowed: `bs(years, df=4)` becomes `bs`."""
    kept, depth, opened = "", 0, []
    for place, char in enumerate(right):
        if char in "({":
            is_call = char == "{" or bool(re.search(r"[\w.]$", right[:place]))
            opened.append(is_call)
            depth += is_call
            kept += "(" if not depth else " braces " if char == "{" else ""
        elif char in ")}":
            if not opened:
                raise FormulaError(f"the formula {text!r} closes a bracket that it never opened.")
            inside = depth
            depth -= opened.pop()
            kept += "" if inside else ")"
        elif not depth:
            kept += char
    return kept


def _refuse_operators(outline: str, text: str) -> None:
    for operator, instead in {
        "**": "write the products out, and powers as I(years**2)",
        "/": "write 'arm + arm:years' for 'arm/years', and divisions as I(age / 10)",
    }.items():
        if operator in outline:
            raise FormulaError(f"{operator!r} is not offered in {text!r}: {instead}.")
    strange = re.search(r"[^\w\s.+*:()|-]", outline)
    if strange:
        raise FormulaError(
            f"{strange.group()!r} cannot be used between the terms of {text!r}: put arithmetic and comparisons into I(…), as in "
            "I(age > 40)."
        )


def _refuse_intercepts(parts: list[str], text: str) -> None:
    for part in parts:
        numbers = re.findall(r"(-\s*)?(?<![\w.])(\d[\w.]*)", part)
        if any(minus or float(number) == 0 for minus, number in numbers if _is_number(number)):
            raise FormulaError(
                f"an intercept cannot be removed ('0 +' or '- 1' in {text!r}): with cutpoints it is part of the scale, and without "
                "it the arm would be coded twice. Leave it out of the formula; contrasts between arms come from tj.contrast."
            )
        other = [number for _, number in numbers if not _is_number(number) or float(number) != 1]
        if other:
            raise FormulaError(f"{other[0]!r} is not a term in {text!r}: write arithmetic as I(years * 2).")


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\d+(\.\d*)?", text))


def _refuse_names(text: str, terms: list[str]) -> None:
    if "offset" in names(text):
        raise FormulaError(
            f"offset(…) is not offered in {text!r}: a model of counts takes the observed person-years as its exposure by itself."
        )
    if response_of(text) in names(text):
        raise FormulaError(
            f"the outcome {response_of(text)!r} is also on the right of {text!r}: leave it out there."
        )
    if PATIENT in terms:
        raise FormulaError(
            f"{PATIENT!r} cannot be a term in {text!r}: patients differ by their effects, '(1 | {PATIENT})'."
        )
