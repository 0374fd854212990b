"""Killed or stopped anywhere, an experiment goes on, and its results are those of no disturbance.

One experiment is disturbed at one moment after another. Each moment is told by a file that stays,
so that a fast machine cannot miss it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.store.storage import Storage
from jobs.worker.run import DONE, STOPPED
from tests.jobs.conftest import Finished
from tests.jobs.experiments import GAN, RATIO, ROOT, Trial, results_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
PATIENCE_S = 1200.0
MARK = "GANSFER_TEST_TRIAL"


class Running:
    """`gansfer run` with all its processes, in a process group of its own as on a terminal."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.mark = f"{MARK}={trial.config}".encode()
        self.said = trial.config.with_suffix(".log")
        with self.said.open("w") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "jobs.commands.cli",
                    "run",
                    str(trial.config),
                    "--workers",
                    "2",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, MARK: str(trial.config)},
                start_new_session=True,
            )

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something has come about."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"it ended before:\n{self.said.read_text()}"
            assert time.monotonic() < deadline_s, f"it never came:\n{self.said.read_text()}"
            time.sleep(0.01)

    def tell_all(self, number: signal.Signals) -> None:
        """Signal the whole group, as a terminal's Ctrl-C and `timeout` do."""
        os.killpg(self.process.pid, number)

    def tell_first(self, number: signal.Signals) -> None:
        """Signal the process that was started, and none of its own."""
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Exit code and output, once every process is gone."""
        code = self.process.wait(PATIENCE_S)
        deadline_s = time.monotonic() + PATIENCE_S
        while left := self.processes():
            assert time.monotonic() < deadline_s, f"still there: {left}"
            time.sleep(0.1)
        return code, self.said.read_text()

    def processes(self) -> dict[int, str]:
        """Command lines of the living processes of this run, by process id."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark in (folder / "environ").read_bytes().split(b"\0"):
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = line
            except (OSError, ProcessLookupError):
                continue  # it has just ended
        return found


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial.make(tmp_path, run={"checkpoint_every_s": 0.02})


@pytest.fixture
def run(trial: Trial) -> Iterator[Callable[[], Running]]:
    started: list[Running] = []

    def begin() -> Running:
        started.append(Running(trial))
        return started[-1]

    yield begin
    for running in started:
        for pid in running.processes():
            os.kill(pid, signal.SIGKILL)
        running.process.wait()


def seen(folder: Path, pattern: str) -> Callable[[], bool]:
    return lambda: any(folder.glob(pattern))


def digests(storage: Storage, trial: Trial) -> dict[str, str]:
    """Of every task's products but the report's page, which tells the time."""
    return {
        task.id: (storage.read_manifest(task) or {})["digest"]
        for task in trial.plan.tasks
        if task.stage != "aggregate"
    }


def stopped_cleanly(code: int, said: str) -> None:
    assert code == STOPPED, said
    assert "stopped: state of " in said
    assert said.rstrip().endswith("saved; run the same command again to go on")
    for word in ("Traceback", "Aborted", "failed", "Error"):
        assert word not in said


def test_disturbed_at_every_turn_it_ends_with_the_same_results(
    finished: Finished, trial: Trial, run: Callable[[], Running]
) -> None:
    running = run()  # asked to stop while torch is being loaded for the first task
    running.until(lambda: any("forkserver" in line for line in running.processes().values()))
    running.tell_all(signal.SIGTERM)
    stopped_cleanly(*running.end())

    running = run()  # killed with every process while subjects are prepared
    running.until(seen(trial.storage.cohort, ".parts/*/*.npz"))
    running.tell_all(signal.SIGKILL)
    assert running.end()[0] == -signal.SIGKILL

    running = run()  # Ctrl-C while phase 1 trains
    running.until(seen(trial.folder(GAN), "phase-1/checkpoint-*.pt"))
    running.tell_all(signal.SIGINT)
    stopped_cleanly(*running.end())
    state = trial.state(GAN)
    assert (state["state"], state["reason"]) == ("stopped", "asked to stop; its state is saved")

    running = run()  # only its first process is killed: the others must not work on unseen
    running.until(seen(trial.folder(GAN), "phase-2/phase.json"))
    running.tell_first(signal.SIGKILL)
    assert running.end()[0] == -signal.SIGKILL
    assert not trial.ledger().done(trial.task(GAN))

    running = run()  # as scancel and `timeout` do, while segmenters train
    running.until(seen(trial.folder(RATIO), "training"))
    running.tell_all(signal.SIGTERM)
    stopped_cleanly(*running.end())

    running = run()  # killed with every process while the report is written
    running.until(seen(trial.storage.report.folder, "tables/*.csv"))
    running.tell_all(signal.SIGKILL)
    running.end()

    code, said = run().end()
    assert code == DONE, said
    assert digests(trial.storage, trial) == digests(finished.storage, trial)
    results, undisturbed = results_of(trial.storage), results_of(finished.storage)
    assert results.keys() == undisturbed.keys()
    assert {"report/tables/dsc_by_ratio.csv", "report/tables/metrics.csv"} <= results.keys()
    for name, content in results.items():
        assert content == undisturbed[name], name
    assert not [*trial.storage.root.rglob("checkpoint-*"), *trial.storage.root.rglob("*.part*")]
