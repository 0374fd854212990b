"""What the benchmarks take on the command line, refused in one line before anything is computed."""

from __future__ import annotations

import argparse
from pathlib import Path

CHALLENGE_NAME = "MICCAI-2012-Multi-Atlas-Challenge-Data"
TABLE_NAME = "oasis_cross-sectional.csv"


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser that says what the benchmark's first line says."""
    return argparse.ArgumentParser(description=(doc or "").splitlines()[0])


def raw_cohort(text: str) -> Path:
    """A folder with OASIS-1's discs and table and the challenge's folder."""
    return _folder_with(text, TABLE_NAME, f"{CHALLENGE_NAME}/demographics.csv")


def prepared_cohort(text: str) -> Path:
    """The folder `cohort` of an experiment whose cohort is prepared."""
    return _folder_with(text, "subjects.csv")


def existing(text: str) -> Path:
    """A file or folder that is there."""
    if not Path(text).exists():
        raise argparse.ArgumentTypeError(f"{text}: no such file or folder")
    return Path(text)


def count(text: str) -> int:
    """A whole number of at least 1."""
    if count_or_zero(text) == 0:
        raise argparse.ArgumentTypeError("0, expected at least 1")
    return int(text)


def count_or_zero(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}, expected a whole number, 0 or more")
    return int(text)


def _folder_with(text: str, *names: str) -> Path:
    folder = existing(text)
    for name in names:
        if not (folder / name).is_file():
            raise argparse.ArgumentTypeError(f"{text}: holds no {name}")
    return folder
