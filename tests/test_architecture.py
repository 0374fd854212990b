"""Who may import whom: the arrows of the house, read from the source with `ast`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import house
from tests.house import ROOT, TOPS

MOST_FILES = 14
GROUND_FLOOR = {
    "atomic",
    "errors",
    "gan_settings",
    "hdf5",
    "progress",
    "resampling",
    "sealed",
    "seeds",
    "settings",
    "structures",
    "subjects",
    "untrusted",
    "volumes",
}
# room -> the rooms whose files it may import; the ground floor, gansfer/*.py, is everybody's.
MAY_IMPORT: dict[str, set[str]] = {
    "gansfer": set(),
    "gansfer/readers": {"gansfer/readers/files"},
    "gansfer/readers/files": set(),
    "gansfer/phantom": set(),
    "gansfer/preprocessing": set(),
    "gansfer/cohort": {"gansfer/preprocessing"},
    "gansfer/augmentation": set(),
    "gansfer/training": set(),
    "gansfer/gan": {"gansfer/training"},
    "gansfer/synthesis": {"gansfer/cohort", "gansfer/gan"},
    "gansfer/quality": {"gansfer/gan", "gansfer/synthesis"},
    "gansfer/segmentation": {"gansfer/augmentation", "gansfer/training"},
    "gansfer/propagation": set(),
    "gansfer/evaluation": set(),
    "gansfer/drawing": set(),
    "gansfer/export": {"gansfer/drawing", "gansfer/synthesis"},
    "gansfer/application": {
        "gansfer/cohort",
        "gansfer/drawing",
        "gansfer/preprocessing",
        "gansfer/segmentation",
    },
    "gansfer/report/tables": {"gansfer/evaluation"},
    "gansfer/report/figures": {
        "gansfer/drawing",
        "gansfer/evaluation",
        "gansfer/report/tables",
    },
    "gansfer/report/page": {
        "gansfer/drawing",
        "gansfer/evaluation",
        "gansfer/report/tables",
        "gansfer/report/figures",
    },
    "gansfer/report/viewer": {
        "gansfer/drawing",
        "gansfer/report/tables",
        "gansfer/report/page",
    },
    "gansfer/report": {
        "gansfer/report/tables",
        "gansfer/report/figures",
        "gansfer/report/page",
        "gansfer/report/viewer",
    },
}
# The rooms of jobs, from the ground up: each may import those before it.
STOREYS = (
    "jobs/experiment",
    "jobs/store",
    "jobs/inputs",
    "jobs/reporting",
    "jobs/stages",
    "jobs/worker",
    "jobs/checking",
    "jobs/starting",
    "jobs/slurm",
    "jobs/application",
    "jobs/notebook",
    "jobs/commands",
)
# room of jobs -> the science that it may call.
CALLS: dict[str, set[str]] = {
    "jobs/experiment": {"cohort"},
    "jobs/store": {"cohort"},
    "jobs/inputs": {"readers", "readers/files", "phantom", "preprocessing"},
    "jobs/reporting": {
        "cohort",
        "evaluation",
        "report",
        "report/tables",
        "report/page",
        "report/viewer",
    },
    "jobs/stages": {
        "readers",
        "preprocessing",
        "cohort",
        "gan",
        "synthesis",
        "quality",
        "augmentation",
        "segmentation",
        "propagation",
        "evaluation",
        "drawing",
        "training",
    },
    "jobs/worker": set(),
    "jobs/checking": {"cohort", "drawing", "gan", "segmentation", "training"},
    "jobs/starting": {"readers", "readers/files"},
    "jobs/slurm": set(),
    "jobs/application": {
        "application",
        "cohort",
        "evaluation",
        "export",
        "readers",
        "readers/files",
        "report/tables",
    },
    "jobs/notebook": {"cohort", "gan", "synthesis"},
    "jobs/commands": {
        "application",
        "cohort",
        "drawing",
        "export",
        "gan",
        "report",
        "segmentation",
        "synthesis",
    },
}
# The one door from the science to what is around it: `gansfer.open`, which imports it when it is
# called. No other `__init__.py` imports anything of the project.
DOOR = (ROOT / "gansfer" / "__init__.py", {"jobs.notebook.opened_run", "gansfer.errors"})
FILES = [path for room in house.rooms() for path in room.files]
TORCH_FREE = [
    "gansfer.settings",
    "gansfer.gan_settings",
    "gansfer.structures",
    "gansfer.seeds",
    "gansfer.atomic",
    "gansfer.gan.schedule",
    "gansfer.gan.skipping",
    "gansfer.report.page.page",
    "jobs.experiment.model",
    "jobs.experiment.loading",
    "jobs.experiment.plan",
    "jobs.store.storage",
    "jobs.store.ledger",
    "jobs.worker.run",
    "jobs.worker.pool",
    "jobs.checking.estimate",
    "jobs.slurm.submission",
    "jobs.slurm.status",
    "jobs.commands.cli",
]
# What a login node has: these modules must load without any scientific package.
LOGIN_NODE = [
    "jobs.commands.cli",
    "jobs.checking.estimate",
    "jobs.slurm.submission",
    "jobs.slurm.status",
    "jobs.experiment.plan",
    "jobs.store.storage",
    "jobs.store.ledger",
]
SCIENTIFIC = ["torch", "numpy", "scipy", "h5py", "pandas", "matplotlib", "sklearn", "skimage"]


def _allowed(room: str) -> set[str]:
    if room in STOREYS:
        below = set(STOREYS[: STOREYS.index(room)])
        return below | {"gansfer"} | {f"gansfer/{other}" for other in CALLS[room]}
    return MAY_IMPORT[room] | {"gansfer"}


def test_every_room_is_on_the_map() -> None:
    assert {room.name for room in house.rooms()} == {*MAY_IMPORT, *STOREYS}


@pytest.mark.parametrize(("pair", "imports"), house.arrows().items(), ids=str)
def test_rooms_keep_to_their_arrows(pair: tuple[str, str], imports: list[str]) -> None:
    room, other = pair
    assert other in _allowed(room), f"{room} must not import {other}: {', '.join(imports)}"


def test_only_one_door_leads_from_the_science_to_the_jobs() -> None:
    for path in (path for top in TOPS for path in (ROOT / top).rglob("__init__.py")):
        imported = set(house.imported_modules(path))
        assert imported == (DOOR[1] if path == DOOR[0] else set()), path


def test_importing_the_package_loads_nothing_else() -> None:
    _import_without("gansfer", ["jobs", "pydantic", *SCIENTIFIC])


def test_the_permitted_arrows_run_in_no_circle() -> None:
    permitted = {room: _allowed(room) - {room} for room in (*MAY_IMPORT, *STOREYS)}
    permitted["gansfer"] = set()
    assert house.first_circle(permitted) is None


def test_no_circle_of_files() -> None:
    assert house.first_circle(house.file_edges()) is None


def test_a_circle_is_found(tmp_path: Path) -> None:
    for name, imports in (("a", "b"), ("b", "c"), ("c", "a")):
        file = tmp_path / "jobs" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"def f():\n    from jobs import {imports}\n")
    circle = house.first_circle(house.file_edges(tmp_path))
    assert circle == ["jobs.a", "jobs.b", "jobs.c", "jobs.a"]


@pytest.mark.parametrize("room", house.rooms(), ids=lambda room: room.name)
def test_no_room_is_crowded(room: house.Room) -> None:
    assert len(room.files) <= MOST_FILES, "two subjects: part them"


def test_the_ground_floor_is_all_there_is_beside_the_rooms() -> None:
    assert {path.stem for path in (ROOT / "gansfer").glob("*.py")} == GROUND_FLOOR | {"__init__"}
    assert {path.stem for path in (ROOT / "jobs").glob("*.py")} == {"__init__"}


@pytest.mark.parametrize("path", FILES, ids=house.module_of)
def test_the_science_knows_no_yaml_and_no_command_line(path: Path) -> None:
    if house.module_of(path).startswith("gansfer."):
        assert not _roots_imported(path) & {"yaml", "typer", "submitit"}


@pytest.mark.parametrize("path", FILES, ids=house.module_of)
def test_only_one_file_imports_submitit(path: Path) -> None:
    if house.module_of(path) != "jobs.slurm.submission":
        assert "submitit" not in _roots_imported(path)


def _roots_imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=house.module_of)
def test_no_file_without_a_name(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "misc", "common", "manager"}


def test_every_product_is_named_in_one_file() -> None:
    """`metrics.csv` once stood in eight places: a renamed product then breaks some of them."""
    home = ROOT / "jobs" / "store" / "task_files.py"
    named = {
        one
        for one in _strings(home)
        if re.fullmatch(r"[\w.-]*\.(csv|h5|json\w?|\w*tensors|html)", one)
    }
    assert {"metrics.csv", "predictions.h5", "generator.safetensors", "manifest.json"} <= named
    for path in FILES:
        if path != home and path.is_relative_to(ROOT / "jobs"):
            again = named & _strings(path)
            assert not again, f"{house.module_of(path)} names {', '.join(sorted(again))} again"


def _strings(path: Path) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_tests_mirror_the_rooms() -> None:
    known = {room.name for room in house.rooms()}
    for folder in {path.parent for path in (ROOT / "tests").rglob("test_*.py")}:
        name = str(folder.relative_to(ROOT / "tests"))
        others = {".", "benchmarks", "slurm", "container", "faults"}
        mirrored = {name, f"gansfer/{name}"} & known or name in others
        assert mirrored, f"tests/{name} is no room of {' or '.join(TOPS)}"


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
