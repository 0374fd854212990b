"""What the READMEs name exists: links, files, functions, commands with their options, settings."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.core
import typer.main
import yaml

import gansfer
from gansfer.errors import UserError
from jobs.commands.cli import app
from jobs.experiment.loading import parse_experiment
from tests.house import ROOT

FOLDERS = ("", "*/", "tests/*/", "jobs/*/")
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *(path for one in FOLDERS for path in ROOT.glob(f"{one}README.md"))}
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# A file of this repository, with or without a function of it: `gan/phases.py:phase_1`.
FILE = re.compile(r"(?<![\w<>*-])((?:[\w.-]+/)+[\w.-]+\.(?:py|sh|md|txt|def))(?::(\w+(?:\.\w+)*))?")
CONFIG = re.compile(r"(?<![\w/])(?:configs|clusters)/[\w./-]+\.yaml")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(document: Path) -> None:
    assert list(problems(document.read_text(encoding="utf-8"), document.parent)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("see [it](no/such/file.png)", "no/such/file.png: leads nowhere"),
        ("see [it](README.md#no-such-heading)", "README.md#no-such-heading: no such heading"),
        ("`gansfer/no_such_file.py`", "gansfer/no_such_file.py: no such file"),
        ("`gansfer/errors.py:NoSuchError`", "gansfer/errors.py defines no NoSuchError"),
        ("```sh\ngansfer fly configs/phantom.yaml\n```", "no command: gansfer fly"),
        ("```sh\ngansfer run configs/phantom.yaml --fly\n```", "gansfer run: no option --fly"),
        ("```sh\ngansfer run one.yaml  # or --fly\n```", "gansfer run: no option --fly"),
        ("`gansfer plan configs/no_such.yaml`", "configs/no_such.yaml: no such experiment"),
        ("`make tea`", "make tea: no such target"),
        ("```yaml\ncohort: {images: {kind: telepathy}}\n```", "telepathy"),
    ],
)
def test_what_is_not_there_is_found(text: str, problem: str) -> None:
    (found,) = problems(text, ROOT)
    assert problem in found


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    baked = re.search(r"^ARG VERSION=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert newest is not None and baked is not None
    versions = {citation["version"], newest[1], baked[1], gansfer.__version__}
    assert len(versions) == 1, versions


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1000


def problems(text: str, folder: Path) -> Iterator[str]:
    """What a document in `folder` names and what is not so, a line each."""
    yield from _links(text, folder)
    for code in _code(text):
        yield from _files(code, folder)
        yield from _commands(code)
        yield from _targets(code)
    for language, block in BLOCK.findall(text):
        if language == "yaml":
            yield from _settings(block)


def _links(text: str, folder: Path) -> Iterator[str]:
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http:", "https:")):
            continue
        path, _, anchor = link.partition("#")
        target = folder / path
        if not target.exists():
            yield f"{link}: leads nowhere"
        elif anchor and anchor not in _anchors(target):
            yield f"{link}: no such heading"


def _anchors(document: Path) -> set[str]:
    """What a code host calls the headings of a document."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _code(text: str) -> Iterator[str]:
    """Every code span, and every line of every code block."""
    for _, block in BLOCK.findall(text):
        yield from block.splitlines()
    for span in re.findall(r"`([^`]+)`", BLOCK.sub("", text)):
        yield " ".join(span.split())


def _files(code: str, folder: Path) -> Iterator[str]:
    for path, name in FILE.findall(code):
        file = next((top / path for top in (ROOT, folder) if (top / path).exists()), None)
        if file is None:
            yield f"{path}: no such file"
        elif name and name not in _definitions(file):
            yield f"{path} defines no {name}"
    for path in CONFIG.findall(code):
        if not any((top / path).exists() for top in (ROOT, ROOT / "configs")):
            yield f"{path}: no such experiment"


def _definitions(file: Path) -> set[str]:
    """Functions and classes of a file, methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (one for one in node.body if isinstance(one, ast.FunctionDef))
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


def _commands(code: str) -> Iterator[str]:
    for asked in re.findall(r"(?:^|[;&(] *)gansfer ([^;&)]+)", code):
        line, _, comment = asked.partition("#")
        command, *rest = shlex.split(line)
        if command.startswith("--"):
            continue
        if command not in _options():
            yield f"no command: gansfer {command}"
            continue
        options = [word for word in rest if word.startswith("-")]
        for option in options + re.findall(r"--[a-z-]+", comment):
            if option not in _options()[command]:
                yield f"gansfer {command}: no option {option}"


@cache
def _options() -> dict[str, set[str]]:
    """Command -> its options."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return {
        name: {"--help", *(option for one in command.params for option in one.opts)}
        for name, command in group.commands.items()
    }


def _targets(code: str) -> Iterator[str]:
    known = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for asked in re.findall(r"(?:^|& )make ([a-z -]+)", code.partition("#")[0]):
        yield from (f"make {one}: no such target" for one in asked.split() if one not in known)


def _settings(block: str) -> Iterator[str]:
    shown = {"name": "shown", "storage": "runs", **yaml.safe_load(block)}
    try:
        parse_experiment(shown, "shown")
    except UserError as error:
        yield str(error)
