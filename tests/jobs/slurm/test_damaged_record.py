"""Damage to the record of jobs never makes a job be sent twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.slurm.job_record import JobRecord
from tests.jobs.stand_in import StandIn


def flip(line: bytes) -> bytes:
    """Another digit in its digest or id, or one bit of a name: JSON as before."""
    middle = len(line) // 2
    return line[:middle] + bytes([line[middle] ^ 1]) + line[middle + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "flipped bit": flip,
    "zeroed": lambda line: bytes(len(line)),
    "cut": lambda line: line[: len(line) // 3],
    "another id": lambda line: line.replace(b'"job": "', b'"job": "9'),
    "no UTF-8": lambda line: b"\xff" + line[1:],
}


def damage(record: Path, number: int, how: Callable[[bytes], bytes]) -> None:
    """Damage the line of this number, from 1."""
    lines = record.read_bytes().splitlines()
    assert how(lines[number - 1]) != lines[number - 1]
    lines[number - 1] = how(lines[number - 1])
    record.write_bytes(b"\n".join(lines) + b"\n")


def n_sent(slurm: StandIn) -> int:
    return len((slurm.folder / "sent").read_text().splitlines())


@pytest.fixture
def sent(slurm: StandIn) -> StandIn:
    """All 14 jobs: each has a line before sbatch and one after it."""
    slurm("submit", "--yes")
    slurm.queue_all()
    assert n_sent(slurm) == 14
    return slurm


@pytest.mark.parametrize("how", DAMAGE.values(), ids=DAMAGE.keys())
def test_an_id_that_was_damaged_is_found_by_the_jobs_name(
    sent: StandIn, how: Callable[[bytes], bytes]
) -> None:
    record = JobRecord(sent.root / "slurm")
    damage(record.path, 4, how)
    assert record.damaged_lines() == [4]
    assert record.load()[1].job is None
    assert "nothing to submit: 0 of " in sent("submit", "--yes")
    assert record.load()[1].job == "2"
    assert record.damaged_lines() == []
    assert n_sent(sent) == 14


@pytest.mark.parametrize("live", [True, False], ids=["listed", "hidden"])
@pytest.mark.parametrize("lines", [(3,), (4,), (3, 4)], ids=str)
def test_nothing_is_sent_while_a_job_may_be_queued_that_is_not_on_record(
    sent: StandIn, lines: tuple[int, ...], live: bool
) -> None:
    record = JobRecord(sent.root / "slurm")
    name = record.load()[1].name
    for number in lines:
        damage(record.path, number, DAMAGE["zeroed"])
    sent.queue.write_text(
        "".join(
            line
            for line in sent.queue.read_text().splitlines(keepends=True)
            if live or f"|{name}" not in line
        )
    )
    if live and lines == (4,):
        return  # the test above
    for command in ("submit", "retry"):
        said = sent(command, "--yes", fails=2)
        assert len(said.splitlines()) == 1
        assert said.startswith(
            f"error: {record.path}, line {lines[0]}: damaged or gone, so what it said"
        )
        assert (f"job 2 ({name})" in said) == live
        assert said.endswith(f"give the line up: gansfer cancel {sent.root}\n")
    assert n_sent(sent) == 14
    if live:
        assert f"job 2 ({name}): not on record" in sent("cancel", "--yes", fails=2)
        assert not sent.cancelled.exists()
        sent.end("2")
    assert "gave up" in sent("cancel", "--yes")
    sent.queue.write_text("")
    assert record.damaged_lines() == []
    sent("submit", "--yes")
    assert n_sent(sent) == 28


@pytest.mark.parametrize("n_left", [0, 2, 26, 27, None])
def test_lines_that_are_gone_are_missed(sent: StandIn, n_left: int | None) -> None:
    record = JobRecord(sent.root / "slurm")
    lines = record.path.read_text().splitlines(keepends=True)
    assert len(lines) == 28
    if n_left is None:
        record.path.unlink()
    else:
        record.path.write_text("".join(lines[:n_left]))
    assert record.damaged_lines() == list(range((n_left or 0) + 1, 29))
    if n_left == 27:  # its line before sbatch is there: the job is found by its name
        assert "nothing to submit: 0 of " in sent("submit", "--yes")
    else:
        said = sent("submit", "--yes", fails=2)
        assert f"line {(n_left or 0) + 1}: damaged or gone, so what it said of a job" in said
        sent.queue.write_text("")
        assert "gave up" in sent("cancel", "--yes")
    assert record.damaged_lines() == []
    record.path.write_text("".join(record.path.read_text().splitlines(keepends=True)[:-1]))
    assert len(record.damaged_lines()) == 1


def test_lines_that_are_gone_are_missed_after_another_was_written(sent: StandIn) -> None:
    record = JobRecord(sent.root / "slurm")
    lines = record.path.read_text().splitlines(keepends=True)
    record.path.write_text("".join([*lines[:10], *lines[14:]]))
    record.give_up(record.load()[0])
    assert len(record.damaged_lines()) == 4


def test_a_line_that_was_whole_and_is_cut_now_is_damaged(sent: StandIn) -> None:
    record = JobRecord(sent.root / "slurm")
    record.path.write_text("".join(record.path.read_text().splitlines(keepends=True)[:27])[:-30])
    assert record.damaged_lines() == [27, 28]


def test_a_line_that_was_cut_before_sbatch_was_called_stops_nothing(sent: StandIn) -> None:
    record = JobRecord(sent.root / "slurm")
    with record.path.open("a") as file:
        file.write('{"name": "one.train_gan.labels-01.abcdef", "stage": "train_gan", "tas')
    assert record.damaged_lines() == []
    assert "nothing to submit: 0 of " in sent("submit", "--yes")


def test_a_record_of_an_earlier_version_is_read(sent: StandIn) -> None:
    record = JobRecord(sent.root / "slurm")
    before = record.load()
    lines = record.path.read_text().splitlines()
    record.path.write_text("".join(line.split(', "digest"')[0] + "}\n" for line in lines))
    assert record.load() == before
    assert record.damaged_lines() == []
