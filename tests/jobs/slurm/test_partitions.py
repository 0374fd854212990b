"""Partitions against those of the cluster, with a stand-in for sinfo."""

from __future__ import annotations

from typing import Any

import pytest

from tests.jobs.stand_in import StandIn

SINFO = 'echo "$@" >>{0}/sinfo; printf "batch\\nbatch\\ngpu-long\\nhidden\\n"'


def told(slurm: StandIn, command: str = "submit", fails: int = 2, **sections: Any) -> list[str]:
    slurm.program("sinfo", SINFO.format(slurm.folder))
    slurm.configure(**sections)
    options = () if command == "validate" else ("--dry-run",)
    return slurm(command, *options, fails=fails).splitlines()


def test_a_partition_that_is_not_there_is_refused_with_the_real_ones(slurm: StandIn) -> None:
    lines = told(slurm, cluster={"partition": "gpu"}, resources={"prepare": {"partition": "cpu"}})
    assert lines == [
        "error: partition cpu of prepare: this cluster has none of that name; there are batch, "
        "gpu-long, hidden; set cluster.partition or resources.<stage>.partition to one of them",
        "error: partition gpu of train_gan, synthesise, train_segmenter, segment_cohort, "
        "aggregate: this cluster has none of that name; there are batch, gpu-long, hidden; set "
        "cluster.partition or resources.<stage>.partition to one of them",
    ]
    assert not (slurm.folder / "sent").exists()
    (asked,) = set((slurm.folder / "sinfo").read_text().splitlines())
    assert asked == "--all --noheader --format=%R", "hidden partitions may be used too"


def test_a_near_one_is_named(slurm: StandIn) -> None:
    (line,) = told(slurm, cluster={"partition": "batch,gpu-lang"})
    assert line.endswith("; did you mean gpu-long?") and "partition gpu-lang of prepare" in line


def test_validate_checks_them_too(slurm: StandIn) -> None:
    assert told(slurm, "validate", cluster={"partition": "gpu"})[-1].startswith("error: partition")


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"cluster": {"partition": "batch,hidden"}},
        {"cluster": {"partition": "gpu", "sbatch": {"partition": "gpu-long"}}},
    ],
)
def test_what_is_there_is_taken(slurm: StandIn, sections: dict[str, Any]) -> None:
    told(slurm, fails=0, **sections)


def test_another_cluster_is_asked_for_its_own(slurm: StandIn) -> None:
    slurm.program(
        "sinfo", 'case "$*" in *"-M far"*) printf "CLUSTER: far\\nfast\\n";; *) exit 1; esac'
    )
    slurm.configure(cluster={"partition": "fast", "sbatch": {"clusters": "far"}})
    slurm("submit", "--dry-run")
    slurm.configure(cluster={"partition": "fsat", "sbatch": {"clusters": "far"}})
    assert "there are fast; did you mean fast?" in slurm("submit", "--dry-run", fails=2)


def test_where_sinfo_does_not_answer_nothing_is_refused(slurm: StandIn) -> None:
    slurm.program("sinfo", "exit 1")
    slurm.configure(cluster={"partition": "anything"})
    slurm("submit", "--dry-run")
