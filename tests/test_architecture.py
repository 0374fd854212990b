"""Who may import whom: the arrows of the house, read from the source with `ast`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMMON = {
    "gansfer",
    "gansfer.settings",
    "gansfer.structures",
    "gansfer.seeds",
    "gansfer.atomic",
    "gansfer.hdf5",
    "gansfer.progress",
    "gansfer.errors",
    "gansfer.checkpoint",
}
# room -> the other rooms it may import. Rooms meet as files, in jobs/stages.py.
MAY_IMPORT = {
    "cohort": set(),
    "gan": set(),
    "synthesis": set(),
    "segmentation": set(),
    "evaluation": set(),
    "report": {"evaluation"},
}
TORCH_FREE = [
    "gansfer.settings",
    "gansfer.structures",
    "gansfer.seeds",
    "gansfer.atomic",
    "gansfer.gan.schedule",
    "jobs.spec",
    "jobs.experiment_file",
    "jobs.plan",
    "jobs.storage",
    "jobs.worker",
    "jobs.local",
    "jobs.submit",
    "jobs.status",
    "jobs.cli",
    "gansfer.report.page",
]
# What a login node has: these modules must load without any scientific package.
LOGIN_NODE = ["jobs.cli", "jobs.submit", "jobs.status", "jobs.plan", "jobs.storage"]
SCIENTIFIC = ["torch", "numpy", "scipy", "h5py", "pandas", "matplotlib", "sklearn", "skimage"]


def _sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", _sources("gansfer"), ids=_module)
def test_the_science_knows_nothing_of_jobs(path: Path) -> None:
    assert not {name for name in _imports(path) if name.split(".")[0] in ("jobs", "yaml", "typer")}


@pytest.mark.parametrize("path", _sources("gansfer"), ids=_module)
def test_rooms_keep_to_their_arrows(path: Path) -> None:
    parts = _module(path).split(".")
    room = parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else None
    for name in _imports(path):
        other = name.split(".")
        if other[0] != "gansfer" or len(other) < 2 or other[1] not in MAY_IMPORT:
            continue
        assert room is not None, f"{_module(path)} is common ground, but imports {name}"
        allowed = MAY_IMPORT[room] | {room}
        assert other[1] in allowed, f"{_module(path)} imports {name}"


def test_common_ground_is_all_there_is_beside_the_rooms() -> None:
    beside = {_module(path) for path in (ROOT / "gansfer").glob("*.py")}
    assert beside == COMMON


@pytest.mark.parametrize("path", _sources("jobs"), ids=_module)
def test_only_submit_imports_submitit(path: Path) -> None:
    if _module(path) != "jobs.submit":
        assert not {name for name in _imports(path) if name.split(".")[0] == "submitit"}


@pytest.mark.parametrize("path", _sources("jobs") + _sources("gansfer"), ids=_module)
def test_no_room_without_a_name(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "misc", "common", "manager"}


@pytest.mark.parametrize("module", TORCH_FREE)
def test_loads_without_torch(module: str) -> None:
    _import_without(module, ["torch"])


@pytest.mark.parametrize("module", LOGIN_NODE)
def test_loads_on_a_login_node(module: str) -> None:
    _import_without(module, SCIENTIFIC)


def _import_without(module: str, absent: list[str]) -> None:
    code = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in absent)
    asked = subprocess.run(
        [sys.executable, "-c", code + f"import {module}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
