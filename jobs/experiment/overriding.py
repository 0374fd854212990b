"""A setting of the command line, KEY=VALUE, in place of the experiment file's. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gansfer.errors import UserError
from jobs.experiment.yaml_file import read_yaml_text

_INDEX = re.compile("0|[1-9][0-9]*")


@dataclass(frozen=True)
class Setting:
    """One setting that is given beside the file.

    Attributes:
        text: as it was written, such as `gan.phase_2.images=48000`.
        keys: from the outermost section in.
        value: what YAML makes of the text after the equals sign.
    """

    text: str
    keys: tuple[str | int, ...]
    value: Any

    @classmethod
    def parse(cls, text: str) -> Setting:
        """Read KEY=VALUE; a value is written as in the file, a list as [1, 3].

        Raises:
            UserError: there is no key, no equals sign, or the value is not YAML.
        """
        key, equals, value = text.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise UserError(
                f"--set {text}: expected KEY=VALUE with a key of the experiment file, such as "
                "gan.phase_2.images=48000"
            )
        # Sizes in pixels are keys too, and numbers: gan.minibatch.32=8.
        keys = tuple(int(part) if _INDEX.fullmatch(part) else part for part in parts)
        return cls(text, keys, read_yaml_text(value, f"--set {text}", numbered=False))

    def nested(self) -> dict[str | int, Any]:
        """The value in the sections that it belongs to, as a file would have it."""
        *outer, last = self.keys
        nested = {last: self.value}
        for key in reversed(outer):
            nested = {key: nested}
        return nested

    def over(self, values: dict[str, Any], nested: dict[Any, Any]) -> dict[str, Any]:
        """`values` with the innermost value of `nested` in place of their own.

        Raises:
            UserError: what the keys lead through is no section in `values`.
        """
        result: dict[Any, Any] = dict(values)
        section, source = result, nested
        for depth, key in enumerate(self.keys[:-1], start=1):
            found = section.get(key)
            if found is not None and not isinstance(found, dict):
                whole = ".".join(map(str, self.keys[:depth]))
                raise UserError(
                    f"--set {self.text}: the experiment gives {whole} as {found!r}, which has no "
                    f"keys; set it as a whole: --set {whole}=..."
                )
            section[key] = dict(found or {})
            section, source = section[key], source[key]
        section[self.keys[-1]] = source[self.keys[-1]]
        return result
