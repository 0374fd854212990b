"""The map of the house: rooms, files, lines, and who imports whom, read from the source.

    python -m tests.house

A room is a folder of Python files. An arrow goes from the room that imports to the one imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOPS = ("gansfer", "jobs")


@dataclass(frozen=True)
class Room:
    """One folder: its Python files, without `__init__.py`."""

    name: str
    files: tuple[Path, ...]

    @property
    def n_lines(self) -> int:
        return sum(len(path.read_text().splitlines()) for path in self.files)


def rooms(root: Path = ROOT) -> list[Room]:
    """Every folder of both packages that holds more than an `__init__.py`."""
    by_folder: dict[Path, list[Path]] = {}
    for top in TOPS:
        for path in sorted((root / top).rglob("*.py")):
            if path.name != "__init__.py":
                by_folder.setdefault(path.parent, []).append(path)
    return [
        Room(str(folder.relative_to(root)), tuple(paths)) for folder, paths in by_folder.items()
    ]


def module_of(path: Path, root: Path = ROOT) -> str:
    """`gansfer/gan/phases.py` -> `gansfer.gan.phases`."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path, root: Path = ROOT) -> Iterator[str]:
    """Modules of this project that a file imports, also in functions and for types only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [_module_imported(node.module or "", one.name, root) for one in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in TOPS)


def _module_imported(module: str, name: str, root: Path) -> str:
    """`from a.b import c` imports the module a.b.c where there is one, else a.b."""
    below = root.joinpath(*module.split("."), name)
    return f"{module}.{name}" if below.with_suffix(".py").exists() or below.is_dir() else module


def room_of(module: str, root: Path = ROOT) -> str:
    """The room that a module lies in: `gansfer.gan.phases` -> `gansfer/gan`."""
    folder = root.joinpath(*module.split("."))
    return str((folder if folder.is_dir() else folder.parent).relative_to(root))


def arrows(root: Path = ROOT) -> dict[tuple[str, str], list[str]]:
    """(importing room, imported room) -> imports such as `steps -> losses`; none within a room."""
    found: dict[tuple[str, str], list[str]] = {}
    for room in rooms(root):
        for path in room.files:
            for module in sorted(set(imported_modules(path, root))):
                other = room_of(module, root)
                if other != room.name:
                    said = f"{path.stem} -> {module.rpartition('.')[2]}"
                    found.setdefault((room.name, other), []).append(said)
    return found


def first_circle(edges: dict[str, set[str]]) -> list[str] | None:
    """A circle of arrows, as the names on the way round, or None."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str] | None:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return None
        for other in sorted(edges.get(name, ())):
            circle = walk(other, [*way, name])
            if circle is not None:
                return circle
        done.add(name)
        return None

    return next((circle for name in sorted(edges) if (circle := walk(name, []))), None)


def file_edges(root: Path = ROOT) -> dict[str, set[str]]:
    """Module -> the project's modules that it imports."""
    return {
        module_of(path, root): set(imported_modules(path, root))
        for room in rooms(root)
        for path in room.files
    }


def main() -> None:
    """Print the map."""
    every = rooms()
    for room in every:
        print(f"{room.name:28} {len(room.files):3} files {room.n_lines:6,} lines")
    n_files, n_lines = sum(len(room.files) for room in every), sum(room.n_lines for room in every)
    print(f"{'all':28} {n_files:3} files {n_lines:6,} lines\n")
    into: dict[str, list[str]] = {}
    for (room_name, other), imports in arrows().items():
        into.setdefault(room_name, []).append(f"{other} ({len(imports)})")
    for room_name, others in into.items():
        print(f"{room_name:28} -> {', '.join(sorted(others))}")


if __name__ == "__main__":
    main()
