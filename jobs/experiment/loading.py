"""Reading an experiment file: YAML in, `Experiment` out, or one line that says what to mend."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from gansfer.atomic import write_text
from gansfer.errors import UserError
from jobs.experiment.cohort_section import PATH_FIELDS
from jobs.experiment.model import Experiment
from jobs.experiment.overriding import Setting
from jobs.experiment.yaml_file import read_yaml, yaml_text

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def load_experiment(path: Path, settings: Sequence[str] = ()) -> Experiment:
    """Read, merge, expand and check an experiment file.

    `cluster: clusters/site.yaml` names a site profile beside the experiment (relative to it): its
    `cluster`, `resources` and `run` sections are merged under the experiment's own. With keys of
    one's own it is `cluster: {profile: clusters/site.yaml, account: physics}`. Every relative path
    is taken from the folder of the file that names it, wherever the command is given.

    Args:
        path: the file.
        settings: KEY=VALUE of the command line, such as gan.phase_2.images=48000: each stands in
            place of the file's, its relative paths are taken from the working folder.

    Raises:
        UserError: the file cannot be read, or a key or value in it is wrong.
    """
    values = _expand(read_yaml(path), str(path))
    values.setdefault("storage", Experiment.model_fields["storage"].default)
    values = _anchored(values, path)
    here = Path("command line").absolute()
    for setting in map(Setting.parse, settings):
        nested = _expand(setting.nested(), f"--set {setting.text}")
        values = setting.over(values, _anchored(nested, here))
    where = " ".join([str(path), *(f"--set {text}" for text in settings)])
    return parse_experiment(_over_profile(values, path), where)


def parse_experiment(values: Any, where: str) -> Experiment:
    """Check plain values against the model; `where` begins the error line.

    Raises:
        UserError: every wrong key or value, one to a line.
    """
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        lines = [f"{where}: {_explain(problem)}" for problem in error.errors()]
        raise UserError("\n".join(lines)) from None


def experiment_schema() -> dict[str, Any]:
    """JSON Schema of an experiment file: every setting, and the ways to name a site profile."""
    schema = Experiment.model_json_schema()
    profile = {"type": "string", "description": "file of a site profile, relative to this one"}
    settings = schema["properties"]["cluster"]
    schema["$defs"]["ClusterSettings"]["properties"]["profile"] = profile
    either = {"anyOf": [{"$ref": settings["$ref"]}, profile]}
    schema["properties"]["cluster"] = {"description": settings["description"], **either}
    return schema


def save_experiment(experiment: Experiment, path: Path) -> None:
    """Write the resolved experiment, every default spelled out.

    Its storage becomes an absolute path: tasks read the file in another folder than ours.
    """
    values = experiment.model_dump(mode="json")
    values["storage"] = str(Path(experiment.storage).expanduser().absolute())
    write_text(path, yaml_text(values))


def _over_profile(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The experiment's values laid over those of the site profile that it names, if any."""
    cluster = values.get("cluster")
    if not isinstance(cluster, dict) or "profile" not in cluster:
        return values
    own = dict(cluster)
    profile = own.pop("profile")
    if not isinstance(profile, str):
        raise UserError(
            f"{path}: cluster.profile is {profile!r}, expected a file, such as clusters/slurm.yaml"
        )
    file = Path(profile)
    site = _anchored(_expand(read_yaml(file), str(file)), file)
    return merged(site, {**values, "cluster": own})


def _anchored(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The values with every relative path made absolute, from the folder of the file at `path`.

    A cluster that is the name of a site profile becomes a section that names it.
    """
    folder = path.absolute().parent

    def absolute(section: Any, *keys: str) -> None:
        for key in keys:
            if isinstance(section, dict) and isinstance(section.get(key), str):
                # By the text alone: a link in it stays the name that the user gave.
                section[key] = os.path.normpath(folder / Path(section[key]).expanduser())

    absolute(values, "storage")
    if isinstance(values.get("cluster"), str):
        values["cluster"] = {"profile": values["cluster"]}
    cohort, cluster = values.get("cohort"), values.get("cluster")
    if isinstance(cohort, dict):
        for section in ("images", "labels", "references"):
            absolute(cohort.get(section), *PATH_FIELDS)
    if isinstance(cluster, dict):
        absolute(cluster, "profile")
        absolute(cluster.get("container"), "image")
    return values


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid upon `under`, key by key at every depth."""
    result = dict(under)
    for key, value in over.items():
        mine = result.get(key)
        both = isinstance(mine, dict) and isinstance(value, dict)
        result[key] = merged(mine, value) if both else value  # type: ignore[arg-type]
    return result


def _expand(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, where) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, where) for item in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        found = os.environ.get(name, default)
        if found is None:
            raise UserError(
                f"{where}: environment variable {name} is not set; set it, or write "
                f"${{{name}:-some/default}}"
            )
        return found

    return _VARIABLE.sub(replacement, value)


def _explain(problem: Any) -> str:
    place = list(problem["loc"])
    key = _shown(place)
    if problem["type"] == "extra_forbidden":
        return _explain_unknown_key(place)
    if problem["type"] == "missing":
        return f"{key} is missing; add it"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        return f"{key}.kind is {context['tag']!r}, expected one of {context['expected_tags']}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    found = problem["input"]
    shown = f" (found {found!r})" if not isinstance(found, dict | list) else ""
    return f"{key}: {message[0].lower()}{message[1:]}{shown}"


def _shown(place: list[str | int]) -> str:
    """The key as the user wrote it: pydantic adds the tag of a union and "[key]" of a mapping."""
    shown: list[str] = []
    models: list[type[BaseModel]] = [Experiment]
    for part in place:
        chosen = [one for one in models if part in _tags(one)] if len(models) > 1 else []
        if chosen:
            models = chosen
            continue
        if part == "[key]":
            continue
        shown.append(str(part))
        models = _models_below(models, part)
    return ".".join(shown)


def _explain_unknown_key(place: list[str | int]) -> str:
    key = _shown(place)
    valid = _keys_at(Experiment, place[:-1])
    near = difflib.get_close_matches(str(place[-1]), valid, n=1, cutoff=0.5)
    if near:
        return f"{key} is not a setting; did you mean {near[0]!r}?"
    return f"{key} is not a setting; there are {', '.join(sorted(valid))}"


def _keys_at(model: type[BaseModel], place: list[str | int]) -> list[str]:
    """Field names of the model at `place`, looking into unions by their tag."""
    models: list[type[BaseModel]] = [model]
    for part in place:
        chosen = [one for one in models if part in _tags(one)] if len(models) > 1 else []
        models = chosen or _models_below(models, part) or models
    return sorted({name for one in models for name in one.model_fields})


def _models_below(models: list[type[BaseModel]], part: str | int) -> list[type[BaseModel]]:
    fields = [one.model_fields.get(str(part)) for one in models]
    return [
        below for field in fields if field is not None for below in _models_in(field.annotation)
    ]


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    kind = model.model_fields.get("kind")
    return () if kind is None else tuple(map(str, get_args(kind.annotation)))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
