"""The experiments and site profiles that come with the program, and the schema beside a file."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from gansfer.atomic import write_text
from gansfer.errors import UserError
from jobs.experiment.loading import experiment_schema

SCHEMA_FILE = "gansfer-schema.json"
_FOLDER = "configs"
_PROFILES = "clusters"


def shipped() -> dict[str, str]:
    """Name -> text of each experiment, and of each site profile as `clusters/NAME`."""
    found = {}
    for place, prefix in ((_root(), ""), (_root() / _PROFILES, f"{_PROFILES}/")):
        if not place.is_dir():
            continue  # the image has the smoke test alone
        for file in sorted(place.iterdir(), key=lambda one: one.name):
            if file.name.endswith(".yaml"):
                found[prefix + file.name.removesuffix(".yaml")] = file.read_text(encoding="utf-8")
    return found


def purpose(text: str) -> str:
    """What a file is for: its first line."""
    return text.partition("\n")[0].lstrip("# ")


def copies(name: str, target: Path) -> dict[Path, str]:
    """The files to write for a copy of one: itself, and the site profile that it names.

    A profile that lies there already is the user's, and is kept.

    Raises:
        UserError: nothing of this name comes along.
    """
    there = shipped()
    name = name.removesuffix(".yaml")
    if name not in there:
        near = difflib.get_close_matches(name, there, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}"
        raise UserError(f"--copy {name}: no such experiment or site profile; {hint}")
    files = {target: _one_level_up(there[name])}
    for profile, text in there.items():
        if f"\ncluster: {profile}.yaml" in there[name]:
            beside = target.parent / f"{profile}.yaml"
            if not beside.exists():
                files[beside] = _one_level_up(text)
    return files


def with_schema(text: str) -> str:
    """An experiment's text with the line by which editors find the schema."""
    return f"# yaml-language-server: $schema={SCHEMA_FILE}\n{text}"


def write_new(files: Mapping[Path, str], *, schema_in: Path | None = None) -> list[Path]:
    """Write files that are not there yet; all or none.

    Args:
        files: path -> text.
        schema_in: folder that is to have the schema; one that is there is kept.

    Returns:
        What was written.

    Raises:
        UserError: one is there already, or the folder cannot be written.
    """
    for path in files:
        if path.exists() or path.is_symlink():
            raise UserError(f"{path}: is there already, and is left as it is; give another --out")
    written = dict(files)
    if schema_in is not None and not (schema_in / SCHEMA_FILE).exists():
        written[schema_in / SCHEMA_FILE] = json.dumps(experiment_schema(), indent=1) + "\n"
    try:
        for path, text in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); give --out in a folder that can be"
        ) from None
    return list(written)


def _root() -> Traversable:
    return resources.files("jobs.starting") / _FOLDER


def _one_level_up(text: str) -> str:
    """Where files lie below configs/, defaults begin in the folder above; a copy's in its own."""
    return text.replace(":-../", ":-")
