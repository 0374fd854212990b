"""Disturb a small experiment in every way, many times, and count what became of it.

    python -m tests.faults --faults 500 --seed 1 --folder /tmp/faults --resume

Prints a table: kind of fault, how many were tried, and how many were absorbed (the same command has
ended well, and every file is to the byte that of an undisturbed run), were a clear error (a line,
and the same command again mended it), a traceback, wrong (a file differs) or lost (work that was
whole was done again, or the command never came to its end). One line a fault is kept in
FOLDER/faults.jsonl; `--resume` goes on after the last. Folders of faults that ended badly stay.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.store.manifest import git_revision
from tests.faults.commands import load_all
from tests.faults.drawing import KINDS, draw_fault
from tests.faults.trials import OUTCOMES, Reference, attempt, find_reference, make_reference

_BAD = OUTCOMES[2:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign; 1 where a fault ended badly."""
    parser = argparse.ArgumentParser(
        description="Disturb a small experiment in every way, many times, and count the outcomes."
    )
    parser.add_argument("--faults", type=int, default=500, help="how many [500]")
    parser.add_argument("--seed", type=int, default=1, help="which ones [1]")
    parser.add_argument("--only", type=int, nargs="*", help="only these numbers")
    parser.add_argument("--folder", type=Path, default=Path("runs/faults"), help="[runs/faults]")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time [1]")
    parser.add_argument("--most-seconds", type=float, default=float("inf"), help="start none after")
    parser.add_argument("--resume", action="store_true", help="go on after what is recorded")
    asked = parser.parse_args(arguments)
    folder = asked.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / f"faults-{asked.seed}.jsonl"
    if not asked.resume:
        record.unlink(missing_ok=True)
    tried = {line["number"] for line in read(record)}
    numbers = asked.only or [n for n in range(asked.faults) if n not in tried]
    random.Random(asked.seed).shuffle(numbers)  # where time is short, not signals alone
    load_all()
    reference = find_reference(folder / "reference") if asked.resume else None
    if reference is None:
        shutil.rmtree(folder / "reference", ignore_errors=True)
        reference = make_reference(folder / "reference")
    print(f"undisturbed: {reference.seconds:.0f} s", flush=True)
    until_s = time.monotonic() + asked.most_seconds
    workers = []
    for k in range(asked.jobs):
        pid = os.fork()
        if pid == 0:
            try:
                _work(numbers[k :: asked.jobs], asked.seed, reference, folder, record, until_s)
            finally:
                os._exit(0)
        workers.append(pid)
    for pid in workers:
        os.waitpid(pid, 0)
    lines = read(record)
    print(table(lines))
    return int(any(line["outcome"] in _BAD for line in lines))


def read(record: Path) -> list[dict[str, Any]]:
    """What is recorded so far."""
    if not record.exists():
        return []
    return [json.loads(line) for line in record.read_text().splitlines()]


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Kind x tried x outcomes, as Markdown."""
    rows = [f"| fault | tried | {' | '.join(OUTCOMES)} |", "|---|" + "--:|" * (1 + len(OUTCOMES))]
    for kind in (*KINDS, "all"):
        found = Counter(line["outcome"] for line in lines if kind in ("all", line["kind"]))
        if found:
            counts = (found.total(), *(found[outcome] for outcome in OUTCOMES))
            rows.append(f"| {kind} | {' | '.join(str(count) for count in counts)} |")
    return "\n".join(rows)


def _work(
    numbers: Sequence[int],
    seed: int,
    reference: Reference,
    folder: Path,
    record: Path,
    until_s: float,
) -> None:
    for number in numbers:
        if time.monotonic() >= until_s:
            return
        fault, started_s = draw_fault(seed, number, reference.writes_by_task), time.monotonic()
        place = folder / f"{seed}-{number:04d}"
        shutil.rmtree(place, ignore_errors=True)
        verdict = attempt(fault, reference, place)
        line = {
            "number": number,
            "kind": fault.kind,
            "outcome": verdict.outcome,
            "note": verdict.note,
            "todo": fault.todo,
            "planted": fault.planted,
            "after": round(fault.after, 3),
            "facts": fault.facts,
            "seconds": round(time.monotonic() - started_s, 1),
            "revision": git_revision(),
        }
        with record.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{number:4d} {verdict.outcome:12} {fault.kind}: {verdict.note[:160]}", flush=True)
        if verdict.outcome not in _BAD:
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
