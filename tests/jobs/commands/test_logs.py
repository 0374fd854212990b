"""`gansfer logs`, and what `--follow` prints while files grow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gansfer.atomic import write_json
from jobs.commands import logs_cli
from jobs.commands.logs_cli import Follower
from tests.jobs.conftest import Asked
from tests.jobs.experiments import BASELINE, GAN, RATIO, Trial

Gansfer = Callable[..., Asked]


def write_log(trial: Trial, task_id: str, text: str) -> Path:
    path = trial.storage.files(trial.task(task_id)).task_log
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def set_state(trial: Trial, task_id: str, state: str) -> None:
    write_json(trial.storage.files(trial.task(task_id)).state, {"state": state})


def test_a_file_is_printed_from_its_last_lines_on(tmp_path: Path) -> None:
    said: list[str] = []
    one, other = tmp_path / "one", tmp_path / "other"
    follower = Follower(said.append, last_lines=2)
    follower.read([one, other])
    assert said == [] and not follower.found
    one.write_text("1\n2\n3\n")
    follower.read([one, other])
    assert said == [f"==> {one} <==", "2", "3"]
    with one.open("ab") as stream:
        stream.write("4\nfünf".encode()[:-2])  # within a letter
    other.write_text("a\n")
    follower.read([one, other])
    assert said[3:] == ["4", f"==> {other} <==", "a"]
    with one.open("ab") as stream:
        stream.write(b"nf" + b"!\n")
    follower.read([one, other])
    assert said[6:] == [f"==> {one} <==", "fünf!"]
    one.write_text("again\nand on")  # another attempt, in a new file
    follower.read([one, other])
    follower.end()
    assert said[8:] == ["again", "and on"]


def test_logs_of_several_tasks_are_printed_each_under_its_name(
    tmp_path: Path, gansfer: Gansfer
) -> None:
    trial = Trial.make(tmp_path)
    one = write_log(trial, BASELINE, "first\nsecond\n")
    other = write_log(trial, RATIO, "third")
    asked = gansfer("logs", trial.config, "train_segmenter", "--lines", "1")
    assert asked.code == 0
    assert asked.out == f"==> {one} <==\nsecond\n==> {other} <==\nthird\n"
    assert gansfer("logs", trial.config, "--only", "train_segmenter", "--lines", "1") == asked


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "logs: which tasks? Give parts of their names"),
        (
            ("fold-7",),
            "fold-7: no task of this experiment has fold-7 in its name; there are",
        ),
        ((GAN,), f"{GAN}: has no log yet; it was not started"),
        (("train_segmenter",), "none of these 3 tasks: has no log yet; it was not started"),
    ],
)
def test_what_has_no_log_is_one_line(
    tmp_path: Path, gansfer: Gansfer, arguments: tuple[str, ...], told: str
) -> None:
    asked = gansfer("logs", Trial.make(tmp_path).config, *arguments)
    assert (asked.code, asked.out) == (2, "")
    assert asked.err.startswith(f"error: {told}") and len(asked.err.splitlines()) == 1


def test_following_goes_on_until_the_tasks_end(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial.make(tmp_path)
    looks = []

    def time_passes(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 1:
            write_log(trial, GAN, "started\n")
            set_state(trial, GAN, "running")
        elif len(looks) == 2:
            write_log(trial, GAN, "started\nhalf\n")
        else:
            write_log(trial, GAN, "started\nhalf\ndone\n")
            set_state(trial, GAN, "done")

    monkeypatch.setattr(logs_cli.time, "sleep", time_passes)
    asked = gansfer("logs", trial.config, GAN, "-f")
    log = trial.storage.files(trial.task(GAN)).task_log
    assert (asked.code, len(looks)) == (0, 3)
    assert asked.out == f"==> {log} <==\nstarted\nhalf\ndone\n"


def test_following_is_left_with_ctrl_c(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial.make(tmp_path)
    log = write_log(trial, GAN, "a line without an end")

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(logs_cli.time, "sleep", interrupt)
    asked = gansfer("logs", trial.config, GAN, "--follow")
    assert (asked.code, asked.out) == (0, f"==> {log} <==\na line without an end\n")
