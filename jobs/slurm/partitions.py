"""Partitions that an experiment names, checked against those of the cluster before sbatch is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from gansfer.errors import UserError
from jobs.experiment.model import Experiment
from jobs.experiment.resources import STAGES, StageName
from jobs.slurm.job_record import clusters_of
from jobs.slurm.slurm_commands import on_clusters, output


def check_partitions(experiment: Experiment, stages: Iterable[StageName] = STAGES) -> None:
    """Refuse a partition that the cluster does not have. Where sinfo does not answer, none is.

    Args:
        experiment: the site's settings.
        stages: whose partitions are looked at.

    Raises:
        UserError: sinfo lists partitions, and not one that a stage names; a line each.
    """
    asked: dict[tuple[str, str], list[str]] = {}
    for stage in stages:
        ask = experiment.stage_resources(stage)
        # sbatch's own option counts, as it does in the script; several are given as a,b.
        named = ask.sbatch.get("partition", ask.partition or experiment.cluster.partition)
        for partition in str(named or "").split(","):
            if partition.strip():
                key = (clusters_of(ask.sbatch), partition.strip())
                asked.setdefault(key, []).append(stage)
    there = {clusters: _partitions(clusters) for clusters, _ in asked}
    problems = []
    for (clusters, partition), users in asked.items():
        known = there[clusters]
        if known is None or partition in known:
            continue
        near = difflib.get_close_matches(partition, known, n=1)
        hint = "set cluster.partition or resources.<stage>.partition to one of them"
        if near:
            hint = f"did you mean {near[0]}?"
        problems.append(
            f"partition {partition} of {', '.join(users)}: this cluster has none of that name; "
            f"there are {', '.join(known)}; {hint}"
        )
    if problems:
        raise UserError("\n".join(problems))


def _partitions(clusters: str) -> list[str] | None:
    """Names of all partitions, hidden ones too; None where sinfo lists none."""
    said = output(["sinfo", "--all", "--noheader", "--format=%R", *on_clusters(clusters)])
    if said is None:
        return None
    lines = [line.strip() for line in said.splitlines()]
    # With -M each cluster's part begins with a line CLUSTER: name.
    names = [line for line in lines if line and not line.startswith("CLUSTER:")]
    return list(dict.fromkeys(names)) or None
