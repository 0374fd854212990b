"""What in_job.sh makes of exit codes and signals, with a stand-in for scontrol."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "jobs" / "slurm" / "in_job.sh"


@dataclass(frozen=True)
class Job:
    """Starts in_job.sh in a job."""

    folder: Path

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def asked(self) -> list[str]:
        """What it asked of scontrol."""
        calls = self.folder / "calls"
        return calls.read_text().split() if calls.exists() else []

    def __call__(
        self, python: str, *, state: str = "RUNNING", **more: str
    ) -> subprocess.Popen[str]:
        given = {"PATH": f"{self.folder}:{os.environ['PATH']}", "TMPDIR": str(self.scratch)}
        slurm = {"SLURM_JOB_ID": "5", "STATE": state, "RESTARTS": "0"}
        return subprocess.Popen(
            ["bash", str(SCRIPT), "3", sys.executable, "-c", python],
            env={**os.environ, **given, **slurm, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job whose scontrol says what STATE and RESTARTS say."""
    calls = tmp_path / "calls"
    show = "JobId=5 JobState=$STATE Requeue=1 Restarts=$RESTARTS BatchFlag=1"
    programs = {
        "scontrol": f'echo "$1" >>{calls}; [ "$1" = requeue ] || echo "{show}"',
        "sleep": '[ "$1" = 60 ] || exec /bin/sleep "$@"',  # nobody ends us after a requeue
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    job = Job(tmp_path)
    job.scratch.mkdir()
    return job


@pytest.mark.parametrize("code", [0, 1, 2, 4])
def test_other_exit_codes_are_kept_and_nobody_is_asked(job: Job, code: int) -> None:
    process = job(f"raise SystemExit({code})")
    assert process.wait(30) == code and job.asked() == []
    assert list(job.scratch.iterdir()) == []  # what it made for caches is gone


def test_75_goes_back_to_the_queue(job: Job) -> None:
    process = job("raise SystemExit(75)")
    assert "requeued, 1 of at most 3 times" in process.communicate(timeout=30)[0]
    assert job.asked() == ["-o", "requeue"]


@pytest.mark.parametrize(
    "more",
    [
        {"SLURM_RESTART_COUNT": "3", "RESTARTS": "3"},  # often enough
        {"state": "CANCELLED"},
        {"state": "COMPLETING"},
        {"RESTARTS": "1"},  # started elsewhere since
    ],
)
def test_75_stays_where_it_is(job: Job, more: dict[str, str]) -> None:
    process = job("raise SystemExit(75)", **more)
    assert process.wait(30) == 75 and "requeue" not in job.asked()


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_reaches_a_python_that_listens_late(job: Job, number: signal.Signals) -> None:
    process = job(
        "import signal, time; time.sleep(2)\n"
        "def leave(*_): raise SystemExit(75)\n"
        f"signal.signal({int(number)}, leave); time.sleep(60)"
    )
    time.sleep(1)  # python is there, its handler is not
    process.send_signal(number)
    assert process.wait(30) == 75 and job.asked() == ["-o", "requeue"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGUSR2, 75),
        (signal.SIGTERM, 75),
        (signal.SIGBUS, 75),  # the mount of its image has ended
        (signal.SIGKILL, 137),  # for memory: it would only come again
        (signal.SIGSEGV, 139),
    ],
)
def test_what_a_job_that_was_asked_to_stop_has_died_of(
    job: Job, number: signal.Signals, code: int
) -> None:
    process = job(
        "import os, signal, time\n"
        "def die(*_):\n"
        f"    if {int(number)} != signal.SIGKILL: signal.signal({int(number)}, signal.SIG_DFL)\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "signal.signal(signal.SIGUSR2, die); print('on', flush=True); time.sleep(60)"
    )
    assert process.stdout is not None and process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGUSR2)
    assert process.wait(30) == code
    assert ("requeue" in job.asked()) == (code == 75)


@pytest.mark.parametrize(("restarts", "code"), [("3", 0), ("4", 6)])
def test_a_job_requeued_too_often_by_slurm_itself_is_not_run(
    job: Job, restarts: str, code: int
) -> None:
    process = job("print('run')", SLURM_RESTART_COUNT=restarts, RESTARTS=restarts)
    said = process.communicate(timeout=30)[0]
    assert process.returncode == code and job.asked() == []
    if code:
        assert said == "gansfer: 5 was requeued 4 times, more than max_requeues (3) allows\n"
    else:
        assert said == "run\n"


def test_threads_are_the_jobs(job: Job) -> None:
    names = ("OMP_NUM_THREADS", "HDF5_USE_FILE_LOCKING")
    process = job(f"import os; print(*(os.environ[n] for n in {names}))", SLURM_CPUS_PER_TASK="3")
    assert process.communicate(timeout=30)[0].split() == ["3", "FALSE"]


def test_nothing_goes_to_the_home_folder(job: Job) -> None:
    names = ["APPTAINER_CONFIGDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR"]
    names += ["CUDA_CACHE_PATH", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"]
    process = job(f"import os; print(*(os.environ[n] for n in {names}))")
    places = process.communicate(timeout=30)[0].split()
    assert len(places) == len(names)
    assert all(place.startswith(f"{job.scratch}/gansfer.") for place in places)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "{}"),
        ({"APPTAINER_BIND": "/data"}, "/data,{}"),
        ({"SINGULARITY_BIND": "/data:/d:ro"}, "/data:/d:ro,{}"),
    ],
)
def test_a_container_sees_the_nodes_disk_and_what_the_site_binds(
    job: Job, given: dict[str, str], wanted: str
) -> None:
    names = ("APPTAINER_BIND", "SINGULARITY_BIND")
    process = job(f"import os; print(*(os.environ[n] for n in {names}))", **given)
    binds = process.communicate(timeout=30)[0].split()
    assert binds == [wanted.format(job.scratch)] * 2


@pytest.mark.parametrize("name", ["TMPDIR", "SLURM_TMPDIR"])
def test_a_temporary_folder_that_the_node_lacks_is_replaced_and_said(job: Job, name: str) -> None:
    # Of the login node, whose /run/user/4711 comes along with the job.
    names = ("TMPDIR", "XDG_CACHE_HOME")
    code = f"import os; print(*(os.environ[n] for n in {names}), os.environ.get('SLURM_TMPDIR'))"
    process = job(code, **{name: "/run/user/4711/tmp"})
    told, shown = process.communicate(timeout=30)[0].splitlines()
    assert process.returncode == 0
    assert told.startswith("gansfer: no folder can be made in /run/user/4711/tmp on ")
    temporary, cache, of_slurm = shown.split()
    expected = "/tmp" if name == "TMPDIR" else str(job.scratch)
    assert temporary == expected and cache.startswith(f"{expected}/gansfer.")
    assert of_slurm == ("None" if name == "TMPDIR" else expected)


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGUSR2, "met its time limit after 3 requeues"), (signal.SIGTERM, "stopped after 3")],
)
def test_a_time_limit_that_allows_no_requeue_is_told_apart_from_a_stop(
    job: Job, number: signal.Signals, told: str
) -> None:
    process = job(
        "import signal, time\n"
        "def leave(*_): raise SystemExit(75)\n"
        f"signal.signal({int(number)}, leave); print('on', flush=True); time.sleep(60)",
        SLURM_RESTART_COUNT="3",
        RESTARTS="3",
    )
    assert process.stdout is not None and process.stdout.readline() == "on\n"
    process.send_signal(number)
    assert f"gansfer: 5 {told}" in process.communicate(timeout=30)[0]
    assert process.returncode == 75


def test_a_notebooks_figures_backend_stays_behind(job: Job) -> None:
    process = job(
        "import os; print(os.environ['MPLBACKEND'])",
        MPLBACKEND="module://matplotlib_inline.backend_inline",
    )
    assert process.communicate(timeout=30)[0] == "Agg\n"
