"""YAML as experiment files need it: read by the core schema of YAML 1.2, and never too much of it.

PyYAML follows YAML 1.1, which reads the time 24:00:00 as 86400, the ratio 2:1 as 121, the account
012345 as 5349 and `no` as false. Here a number is what looks like one and nothing else: colons,
leading zeros, underscores, dates, yes and no are text. (YAML 1.2 would read 012345 as 12345; no
setting is a number that one writes with leading zeros, and account numbers are.)

An experiment file may come from a stranger: tags, keys given twice, aliases that unfold into more
than memory holds and nesting without end are refused before any value is made of them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from gansfer.errors import UserError

# The paper's experiment has 2 KB; with every default and a protocol of its own, 10 KB.
MAX_BYTES = 64 * 2**10
MAX_NODES = 20_000  # with every alias unfolded
MAX_DEPTH = 40

_CORE = {
    "tag:yaml.org,2002:null": r"~|null|Null|NULL|",
    "tag:yaml.org,2002:bool": r"true|True|TRUE|false|False|FALSE",
    "tag:yaml.org,2002:int": r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+",
    "tag:yaml.org,2002:float": r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)"
    r"(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "tag:yaml.org,2002:merge": r"<<",
}
_PLAIN_TAGS = {*_CORE, *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))}


class _Loader(yaml.SafeLoader):
    """Safe YAML whose plain scalars are resolved by the core schema."""


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either version of YAML would take for another thing than text."""


_Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1; the dumper keeps them
for _tag, _pattern in _CORE.items():
    for _class in (_Loader, _Dumper):
        # None: whatever the first character.
        _class.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), None)


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        UserError: it cannot be read, is no mapping, or holds what no experiment file needs.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(
            path.name, [p.name for p in path.parent.glob("*.y*ml")], n=1
        )
        hint = f"; did you mean {path.parent / near[0]}?" if near else "; check the path"
        raise UserError(f"{path}: no such experiment file{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a YAML file in UTF-8") from None
    if len(content) > MAX_BYTES:
        raise UserError(
            f"{path}: more than {MAX_BYTES // 1024} KiB, expected an experiment file of a few; is "
            "this another file?"
        )
    values = read_yaml_text(text, str(path))
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise UserError(f"{path}: holds {found}, expected keys such as name, cohort and grid")
    return values


def read_yaml_text(text: str, where: str, *, numbered: bool = True) -> Any:
    """The value that a YAML text is; `where` begins the error, `numbered` names the line there.

    Raises:
        UserError: it is not YAML, or holds what no experiment file needs.
    """
    try:
        return _values(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark and numbered else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise UserError(f"{where}{line}: {problem}; mend the YAML there") from None


def yaml_text(values: dict[str, Any]) -> str:
    """Plain values as YAML that `read_yaml` reads back the same, and older readers too."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _values(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _unfolded_size(node, set(), {})
        return loader.construct_document(node)
    except RecursionError:
        raise _problem(f"nested in more than {MAX_DEPTH} levels", None) from None
    except ValueError as error:  # a number of more digits than Python reads
        if isinstance(error, yaml.YAMLError):
            raise
        raise _problem(str(error).partition(";")[0], None) from None
    finally:
        loader.dispose()


def _unfolded_size(node: yaml.Node, above: set[int], sizes: dict[int, int]) -> int:
    """How many nodes there are at and below `node`, each alias counted as what it stands for.

    Raises:
        yaml.YAMLError: too many, too deep, an alias within what it stands for, a tag, or a key
            that is given twice.
    """
    if id(node) in sizes:
        return sizes[id(node)]
    if node.tag not in _PLAIN_TAGS:
        raise _problem(f"the tag {_shown(node.tag)} has no meaning here", node)
    if id(node) in above or len(above) >= MAX_DEPTH:
        raise _problem(f"nested in more than {MAX_DEPTH} levels, or in itself", node)
    below: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _refuse_key_given_twice(node)
        below = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        below = node.value
    size = 1
    for part in below:
        size += _unfolded_size(part, above | {id(node)}, sizes)
        if size > MAX_NODES:
            raise _problem(f"more than {MAX_NODES:,} values once its aliases are unfolded", node)
    sizes[id(node)] = size
    return size


def _refuse_key_given_twice(node: yaml.MappingNode) -> None:
    seen: dict[Hashable, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _problem("a key that is no plain text", key)
        if key.value in seen:
            raise _problem(f"{key.value} is given twice, first on line {seen[key.value]}", key)
        seen[key.value] = key.start_mark.line + 1


def _shown(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _problem(problem: str, node: yaml.Node | None) -> yaml.MarkedYAMLError:
    mark = None if node is None else node.start_mark
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
