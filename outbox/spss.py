"""Responses as an SPSS file (.sav) with labels of variables and values and a missing value; needs the extra `spss`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from inbox.variables import MISSING, Listing, Plain, Variable

LIBRARIES = ("pandas", "pyreadstat")
NO_ANSWER = {"zh": "未回答", "en": "No answer"}
LONGEST_LABEL = 250
"""Bytes of a label of a variable; SPSS takes 256."""
LONGEST_VALUE_LABEL = 120
"""Bytes of the label of a value, as SPSS takes them."""
LONGEST_TEXT = 8_000
"""Characters of a text; SPSS takes 32,767 bytes."""


class NoSpss(RuntimeError):
    """The libraries that write .sav files are not installed; the message names what to install."""

    def __init__(self) -> None:
        super().__init__("writing .sav files needs the extra spss: pip install 'huiliu[spss]'")


def require() -> None:
    """Raise `NoSpss` if .sav files cannot be written here; looks without loading them, which takes seconds."""
    if not all(find_spec(name) for name in LIBRARIES):
        raise NoSpss


def write_sav(listing: Listing, path: Path, language: str) -> None:
    """Write *listing* as an SPSS file. It is held in memory, a column at a time. Raises `NoSpss`."""
    require()
    import pandas as pd  # noqa: PLC0415  # an extra
    import pyreadstat  # noqa: PLC0415  # an extra

    columns: list[list[Any]] = [[] for _ in listing.variables]
    codes = [
        {value: place for place, value in enumerate(one.labels, 1)} if one.kind == "code" else {}
        for one in listing.variables
    ]
    for row in listing.rows():
        for place, (value, variable) in enumerate(zip(row, listing.variables, strict=True)):
            columns[place].append(_stored(value, variable, codes[place]))
    series = {
        one.name: pd.Series(column, dtype=_dtype(one)) for one, column in zip(listing.variables, columns, strict=True)
    }
    frame = pd.DataFrame(series)
    missing = [one.name for one in listing.variables if one.asked and one.kind != "text"]
    pyreadstat.write_sav(
        frame,
        str(path),
        file_label=_cut(listing.title, 60),
        column_labels={one.name: _cut(one.label, LONGEST_LABEL) for one in listing.variables},
        variable_value_labels={one.name: _labels(one, language) for one in listing.variables if _labels(one, language)},
        missing_ranges={name: [MISSING] for name in missing},
        variable_measure={one.name: one.measure for one in listing.variables},
        variable_format={one.name: _format(one) for one in listing.variables if _format(one)},
    )


def _stored(value: Plain, variable: Variable, codes: dict[str, int]) -> Any:
    if variable.kind == "text":
        return "" if value is None else str(value)[:LONGEST_TEXT]
    if variable.kind == "code":
        value = codes.get(str(value))
    if value is None and variable.asked:
        return float(MISSING)
    return float(value) if isinstance(value, int) else value


def _dtype(variable: Variable) -> str:
    return {"text": "object", "time": "datetime64[ns]"}.get(variable.kind, "float64")


def _labels(variable: Variable, language: str) -> dict[int | float, str]:
    """Return the labels of a variable's values, which are numbers here; of one that was asked also of no answer."""
    if variable.kind == "code":
        found: dict[int | float, str] = dict(enumerate(variable.labels.values(), 1))
    elif variable.kind == "number":
        found = {int(value): label for value, label in variable.labels.items()}
    else:
        return {}
    if variable.asked:
        found[MISSING] = NO_ANSWER["zh" if language.startswith("zh") else "en"]
    return {value: _cut(label, LONGEST_VALUE_LABEL) for value, label in found.items()}


def _format(variable: Variable) -> str:
    if variable.kind in ("code", "number"):
        return "F8.4" if variable.name == "weight" else "F8.0"
    return ""


def _cut(text: str, most: int) -> str:
    """Return as much of *text* as fits into *most* bytes of UTF-8, in whole characters."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")
