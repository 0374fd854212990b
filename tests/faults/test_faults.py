"""The quick form of the campaign: one fault of each kind; and that its verdicts can be bad ones."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.__main__ import read, table
from tests.faults.commands import Ended
from tests.faults.comparing import manifests
from tests.faults.disturbing import Moment
from tests.faults.drawing import draw_fault, kinds_here
from tests.faults.planted.planted_fault import VARIABLE
from tests.faults.trials import OUTCOMES, Reference, Verdict, judged
from tests.jobs.experiments import BASELINE, GAN, ROOT, Trial

MOST_SECONDS = 100  # no fault is begun later; the last one and the undisturbed run come on top


@pytest.mark.faults
def test_one_fault_of_each_kind_is_absorbed_or_told_clearly(tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "tests.faults", "--folder", str(tmp_path), "--jobs", "2"),
            *("--faults", str(len(kinds_here())), "--most-seconds", str(MOST_SECONDS)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = read(tmp_path / "faults-1.jsonl")
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert lines and {line["outcome"] for line in lines} <= set(OUTCOMES[:2])


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    """An experiment all of whose tasks are said to be done."""
    trial = Trial.make(tmp_path / "reference")
    trial.pretend(*(task.id for task in trial.plan.tasks))
    return Reference(trial, {task.id: 10 for task in trial.plan.tasks}, 1.0)


WELL = Ended(0, "done    aggregate")
ERROR = "Traceback (most recent call last)\n  File x\nOSError: no\n"


def log_an_error(trial: Trial) -> None:
    trial.storage.files(trial.task(GAN)).task_log.write_text(ERROR)


def change(trial: Trial) -> None:
    (trial.folder(BASELINE) / "product.txt").write_text("another")


def do_again(trial: Trial) -> None:
    task = trial.task(GAN)
    manifest = trial.storage.read_manifest(task)
    assert manifest is not None
    trial.storage.write_manifest(task, {**manifest, "finished": "later"})


def test_an_incomplete_report_is_not_lost_where_it_is_made_again(
    reference: Reference, tmp_path: Path
) -> None:
    trial = reference.trial.copied(tmp_path / "trial")
    report = trial.task("aggregate")
    manifest = trial.storage.read_manifest(report)
    assert manifest is not None
    assert report.id in manifests(trial)
    trial.storage.write_manifest(report, {**manifest, "facts": {"missing": ["N = 1 2:1"]}})
    assert report.id not in manifests(trial)
    assert manifests(trial).keys() == {task.id for task in trial.plan.tasks} - {report.id}


@pytest.mark.parametrize(
    ("happens", "ended", "verdict"),
    [
        (lambda trial: None, WELL, Verdict("absorbed")),
        (change, WELL, Verdict("wrong", "segmenter/seed-0/fold-0/labels-01/baseline/product.txt")),
        (lambda trial: trial.undo(BASELINE), WELL, Verdict("wrong", "segmenter/")),
        (
            lambda trial: (trial.folder(GAN) / "checkpoint-1.pt").touch(),
            WELL,
            Verdict("wrong", "gan/seed-0/fold-0/labels-01/group-0/checkpoint-1.pt is left behind"),
        ),
        (do_again, WELL, Verdict("lost", f"{GAN} was done again")),
        (lambda trial: None, Ended(-9, "", hung=True), Verdict("lost", "hung")),
        (lambda trial: None, Ended(0, ERROR), Verdict("traceback", "OSError: no")),
        (log_an_error, WELL, Verdict("traceback", "OSError: no")),
        (
            lambda trial: None,
            Ended(1, "hm"),
            Verdict("traceback", "exit code 1 without a word: hm"),
        ),
    ],
)
def test_a_verdict_is_bad_where_it_should_be(
    reference: Reference,
    tmp_path: Path,
    happens: Callable[[Trial], object],
    ended: Ended,
    verdict: Verdict,
) -> None:
    trial = reference.trial.copied(tmp_path / "trial")
    before = manifests(trial)
    happens(trial)
    found = judged(trial, reference, [ended], before)
    assert found.outcome == verdict.outcome
    assert found.note.startswith(verdict.note)


def test_faults_are_those_of_the_seed_and_one_of_each_kind_in_turn(reference: Reference) -> None:
    kinds = kinds_here()
    first = [draw_fault(1, number, reference.writes_by_task) for number in range(2 * len(kinds))]
    assert [fault.kind for fault in first] == [*kinds, *kinds]
    assert first == [draw_fault(1, fault.number, reference.writes_by_task) for fault in first]
    assert first != [draw_fault(2, fault.number, reference.writes_by_task) for fault in first]


def test_a_moment_waits_for_the_writes_and_not_for_the_clock(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    moment = Moment(counter, 3)
    assert not moment.has_come()
    counter.write_bytes(b"..")
    assert not moment.has_come()
    counter.write_bytes(b"...")
    assert moment.has_come()
    late = Moment(counter, 3, delay_s=3600)
    assert not late.has_come()


@pytest.mark.parametrize(("count", "written"), [(1, "acd"), (2, "ad"), (0, "a")])
def test_the_planted_fault_meets_the_nth_write(tmp_path: Path, count: int, written: str) -> None:
    fault = {
        "root": str(tmp_path / "storage"),
        "counter": str(tmp_path / "counter"),
        **{"what": "error", "errno": errno.ENOSPC, "at": 2, "count": count},
    }
    (tmp_path / "storage").mkdir()
    (tmp_path / "elsewhere").mkdir()
    code = """
import sys
for folder in ("elsewhere", "storage"):
    for name in "abcd":
        try:
            open(f"{sys.argv[1]}/{folder}/{name}", "w").close()
        except OSError as error:
            assert error.errno == 28
"""
    planted = Path(__file__).with_name("planted")
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(planted), VARIABLE: json.dumps(fault)},
        check=True,
    )
    assert "".join(sorted(path.name for path in (tmp_path / "storage").iterdir())) == written
    assert len(list((tmp_path / "elsewhere").iterdir())) == 4
    assert (tmp_path / "counter").stat().st_size == 4


def test_the_table_counts_outcomes_by_kind() -> None:
    lines = [
        {"kind": "disk full", "outcome": outcome} for outcome in ("absorbed", "lost", "absorbed")
    ]
    rows = table(lines).splitlines()
    assert rows[0] == "| fault | tried | absorbed | clear error | traceback | wrong | lost |"
    assert rows[2:] == ["| disk full | 3 | 2 | 0 | 0 | 0 | 1 |", "| all | 3 | 2 | 0 | 0 | 0 | 1 |"]
