"""Processes of one machine: how many cores may be used, and how a child ends with its parent."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait


def usable_cores() -> int:
    """Cores this process may use (its affinity or SLURM allotment, not the machine's)."""
    allotted = os.environ.get("SLURM_CPUS_PER_TASK")
    if allotted:
        return int(allotted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def end_with_parent() -> None:
    """Make this process leave at once when the one that started it is gone, SIGKILL included."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
