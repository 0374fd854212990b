"""Python imports this at start where its folder is on PYTHONPATH: the stages become planted ones.

The worker under test stays as it is; only what it runs is another, or misbehaves on request.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Sequence
from pathlib import Path


class _Planted(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "jobs.stages.dispatch":
            return None
        return importlib.util.spec_from_file_location(name, Path(__file__).with_name("planted.py"))


if "GANSFER_PLANTED" in os.environ:
    sys.meta_path.insert(0, _Planted())
