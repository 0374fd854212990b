"""The JSON Schema, from which editors complete, explain and check an experiment file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from gansfer.settings import Settings
from jobs.experiment.loading import experiment_schema


def undescribed(schema: dict[str, Any]) -> Iterator[str]:
    """Every field of a schema and of its definitions that says nothing of itself."""
    for name, model in (("Experiment", schema), *schema.get("$defs", {}).items()):
        if "properties" in model and not model.get("description"):
            yield name
        for field, shown in model.get("properties", {}).items():
            if not shown.get("description", "").strip():
                yield f"{name}.{field}"


def test_every_setting_has_a_description() -> None:
    schema = experiment_schema()
    assert len(schema["$defs"]) > 25, "the sections are walked too"
    assert list(undescribed(schema)) == []


def test_a_field_without_a_description_is_found() -> None:
    class Inner(Settings):
        """A section."""

        told: int = Field(1, description="what it is")
        untold: int = 1

    class Outer(Settings):
        """The file."""

        inner: Inner = Inner()

    assert list(undescribed(Outer.model_json_schema())) == ["Experiment.inner", "Inner.untold"]
