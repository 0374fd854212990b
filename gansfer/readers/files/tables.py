"""Tables and folders as they come: CSV or TSV, commas, semicolons or tabs, with or without a BOM.

Nothing is guessed from a bad cell: it is an error that names file, line and column.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gansfer.errors import UserError
from gansfer.untrusted import MOST_TABLE_BYTES

CDR_VALUES = (0.0, 0.5, 1.0, 2.0, 3.0)
OLDEST_YEARS = 120.0
UNKNOWN = ("", "n/a", "na", "nan")
DELIMITERS = ",;\t"
_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M", "o": None, "other": None}
_YES_NO = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}

_OR_OLDER = re.compile(r"[0-9.]+\+")

Row = dict[str, str]


def matching(folder: Path, pattern: str) -> list[Path]:
    """Paths below a folder that match a glob, sorted, without hidden ones.

    macOS keeps a `._name` beside each `name` on other file systems; Python's globs match it.
    """
    return sorted(
        path
        for path in folder.glob(pattern)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


@contextmanager
def collected(problems: list[str]) -> Iterator[None]:
    """Collect a user's mistake, one entry a line, and continue after the block."""
    try:
        yield
    except UserError as error:
        problems.extend(str(error).splitlines())


def read_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, Row]]:
    """Rows of a table with their line numbers; values are stripped, absent ones are empty.

    Args:
        path: CSV or TSV in UTF-8; what separates its columns is read from the first line.
        columns: columns that must be there.

    Raises:
        UserError: the file is missing or not a table with these columns.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table; is the download complete?")
    if path.stat().st_size > MOST_TABLE_BYTES:
        raise UserError(
            f"{path}: {path.stat().st_size >> 20} MiB, expected a table of at most "
            f"{MOST_TABLE_BYTES >> 20} MiB; is this an image?"
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(DELIMITERS, key=first.count))
            reader.fieldnames = names = [name.strip() for name in reader.fieldnames or ()]
            missing = [name for name in columns if name not in names]
            if missing:
                raise UserError(
                    f"{path}: no column {missing[0]!r}; it has {', '.join(names) or 'none'}"
                )
            rows: list[tuple[int, Row]] = []
            for line in reader:
                if None in line:
                    raise UserError(
                        f"{path}: line {reader.line_num}: more cells than the {len(names)} "
                        "columns; put a value that holds the separator into quotes"
                    )
                rows.append((reader.line_num, {k: (v or "").strip() for k, v in line.items()}))
            return rows
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); make it readable to you"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error}); export it again") from error


def to_number(path: Path, line_number: int, column: str, text: str) -> float | None:
    """A number of a table; blank and N/A are None.

    Raises:
        UserError: the text is no number.
    """
    if text.lower() in UNKNOWN:
        return None
    try:
        return float(text)
    except ValueError:
        raise UserError(
            f"{path}: line {line_number}: {column} is {text!r}, expected a number such as 74.5; "
            "correct the row"
        ) from None


def to_age(path: Path, line_number: int, column: str, text: str) -> float | None:
    """An age in years; blank and N/A are None, and 89+ (BIDS: 89 or older) is 89.

    Raises:
        UserError: it is no number of years that anyone reaches.
    """
    age_years = to_number(
        path, line_number, column, text[:-1] if _OR_OLDER.fullmatch(text) else text
    )
    if age_years is not None and not 0 <= age_years <= OLDEST_YEARS:
        raise UserError(
            f"{path}: line {line_number}: {column} is {text}, expected 0 to {OLDEST_YEARS:g} "
            "years; correct the row"
        )
    return age_years


def to_cdr(path: Path, line_number: int, column: str, text: str) -> float | None:
    """A Clinical Dementia Rating; blank and N/A are None.

    Raises:
        UserError: it is none of 0, 0.5, 1, 2 and 3.
    """
    cdr = to_number(path, line_number, column, text)
    if cdr is not None and cdr not in CDR_VALUES:
        raise UserError(
            f"{path}: line {line_number}: {column} is {text}, expected 0, 0.5, 1, 2 or 3; "
            "correct the row"
        )
    return cdr


def to_sex(path: Path, line_number: int, column: str, text: str) -> str | None:
    """F, M or None; blank, N/A and other are None.

    Raises:
        UserError: it is something else.
    """
    if text.lower() in UNKNOWN:
        return None
    if text.lower() not in _SEXES:
        raise UserError(
            f"{path}: line {line_number}: {column} is {text!r}, expected F or M; correct the row"
        )
    return _SEXES[text.lower()]


def to_yes_no(path: Path, line_number: int, column: str, text: str, default: bool) -> bool:
    """A yes or a no; blank and N/A are the default.

    Raises:
        UserError: it is neither.
    """
    if text.lower() in UNKNOWN:
        return default
    if text.lower() not in _YES_NO:
        raise UserError(
            f"{path}: line {line_number}: {column} is {text!r}, expected yes or no; correct the row"
        )
    return _YES_NO[text.lower()]


def to_demographics(
    path: Path,
    line_number: int,
    cells: Mapping[str, tuple[str, str]],
    problems: list[str],
    notes: list[str],
) -> dict[str, Any]:
    """Age, sex and CDR of a session; what is wrong with one is collected, and that one is None.

    Args:
        path: the table.
        line_number: the session's.
        cells: age_years, sex or cdr -> its column and its text.
        problems: what the user must mend; extended.
        notes: what the user should know; extended.
    """
    values: dict[str, Any] = dict.fromkeys(cells)
    for name, (column, text) in cells.items():
        with collected(problems):
            values[name] = _PARSERS[name](path, line_number, column, text)
            if name == "age_years" and _OR_OLDER.fullmatch(text):
                notes.append(
                    f"{path}: line {line_number}: {column} is {text}, {text[:-1]} or older; it is "
                    f"taken as {text[:-1]} years"
                )
    return values


_PARSERS = {"age_years": to_age, "sex": to_sex, "cdr": to_cdr}
