"""Running the builders, and what they need of this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
# Kept between sessions, for what takes minutes: git ignores it.
KEPT = PROJECT / "build" / "container"
NEEDED = ("patchelf", "mksquashfs", "squashfuse_ll", "debootstrap")


def run(*command: object, **more: Any) -> str:
    """Run it; where it fails, fail with everything that it said."""
    ran = subprocess.run(
        [str(part) for part in command],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **more,
    )
    assert ran.returncode == 0, ran.stdout[-6000:]
    return ran.stdout


def wheel_folders() -> list[str]:
    """Folders of wheels that this machine's pip looks into."""
    listed = run(sys.executable, "-m", "pip", "config", "list")
    found = {line.split("'")[1] for line in listed.splitlines() if ".find-links=" in line}
    return sorted(folder for folder in found if Path(folder).is_dir())
