"""Checks before anything runs: that files are there, and that the machine is large enough."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Collection
from pathlib import Path

from rich.console import Console

from gansfer.errors import UserError
from gansfer.segmentation.presets import PRESETS
from jobs.experiment.cluster import ClusterSettings
from jobs.experiment.cohort_section import NoReferences
from jobs.experiment.memory import task_memory_gb
from jobs.experiment.model import Experiment
from jobs.experiment.resources import STAGES
from jobs.store.processes import usable_cores
from jobs.store.storage import Storage
from jobs.worker.live_events import check_tensorboard

# What every task imports, sooner or later; pyproject.toml's extra `run` has their versions.
_PACKAGES = ("torch", "numpy", "scipy", "h5py", "SimpleITK", "skimage", "sklearn", "pandas")


def validate_experiment(experiment: Experiment, workers: int | None) -> list[str]:
    """Check paths, then every file of the cohort, then the machine.

    Args:
        experiment: what is to run.
        workers: processes that read files; None: one a core.

    Returns:
        What the user should know, one line each.

    Raises:
        UserError: everything that is wrong, one line each.
    """
    problems = _absent(experiment, ("images", "labels"))
    if problems:
        raise UserError("\n".join(problems))
    machine_problems, notes = _machine(experiment)
    problems = _absent(experiment, ("references",))
    try:
        from jobs.inputs.input_check import check_input
    except ModuleNotFoundError as error:
        problems += machine_problems
        if problems:
            raise UserError("\n".join(problems)) from None
        return [
            *notes,
            f"the cohort's files were not read, {error.name} is not installed here; validate where "
            "the tasks run to have them read",
        ]
    with Console(stderr=True).status("reading the cohort's files") as status:
        report = check_input(
            _without_references(experiment) if problems else experiment,
            workers or usable_cores(),
            lambda done, total: status.update(f"reading the cohort's files: {done} of {total}"),
        )
    notes += report.notes
    problems += [*report.problems, *machine_problems]
    if experiment.cluster.container.image is None:
        problems += _lacking_here() + _lacking_for_propagation(experiment)
    else:  # it is the image that must have them
        notes += _lacking_for_propagation(experiment)
    if problems:
        raise UserError("\n".join(problems))
    if not report.subjects:
        return notes
    n_labelled = sum(subject.labelled for subject in report.subjects)
    n_pool = sum(subject.in_pool for subject in report.subjects)
    return [
        *notes,
        f"{len(report.subjects)} images, {n_labelled} labelled, {n_pool} in the unlabelled pool",
    ]


def _machine(experiment: Experiment) -> tuple[list[str], list[str]]:
    """What is wrong for a run on this machine, and what would be if all of it ran here.

    Which stages run here nobody knows: those too large for this machine may be meant for a cluster.
    So their memory is a note, and so is the device where the file has a cluster's settings.
    """
    problems, notes = _storage_problems(experiment), []
    problems += _segmenter_problems(experiment)
    device = _device_problems(experiment)
    if experiment.cluster != ClusterSettings() or experiment.resources:
        notes += [f"on this machine, {one}" for one in device]
    else:
        problems += device
    for stage in STAGES:
        try:
            check_machine(experiment, experiment.run.workers, {stage})
        except UserError as error:
            (problems if stage == "prepare" else notes).append(str(error))
    return problems, notes


def _storage_problems(experiment: Experiment) -> list[str]:
    """Whether products can be written where they are to go."""
    root = Storage(experiment).root
    there = next(one for one in (root, *root.parents) if one.exists())
    if not there.is_dir():
        return [f"storage: {there} is a file, expected a folder; set storage to another place"]
    if not os.access(there, os.W_OK | os.X_OK):
        return [f"storage: {there} cannot be written; set storage to a folder that can be"]
    return []


def _device_problems(experiment: Experiment) -> list[str]:
    if experiment.run.device != "cuda" or importlib.util.find_spec("torch") is None:
        return []
    import torch

    if torch.cuda.is_available():
        return []
    return ["run.device: cuda, and torch finds no CUDA device here; set it to auto or cpu"]


def _segmenter_problems(experiment: Experiment) -> list[str]:
    """Whether the slices are large enough for the segmenter's training segments."""
    output_px = PRESETS[experiment.segmenter.preset].output_px
    if experiment.slice_px >= output_px:
        return []
    return [
        f"segmenter.preset: slices of {experiment.slice_px} px are too small for "
        f"{experiment.segmenter.preset}, whose segments have {output_px}; use smaller voxels or "
        "preset deepmedic-original"
    ]


def check_sources(experiment: Experiment) -> None:
    """Raise one UserError that lists everything that is not where the cohort section says."""
    lines = _absent(experiment, ("images", "labels", "references"))
    if lines:
        raise UserError("\n".join(lines))


def _absent(experiment: Experiment, sections: tuple[str, ...]) -> list[str]:
    """What is not where these parts of the cohort section say."""
    lines = []
    for key, text, is_folder in experiment.cohort.places():
        path = Path(text)
        kind = "folder" if is_folder else "file"
        there = path.is_dir() if is_folder else path.is_file()
        if key.split(".")[0] in sections and not there:
            lines.append(f"cohort.{key}: {path} is not a {kind}; set it to where the data are")
    return lines


def _without_references(experiment: Experiment) -> Experiment:
    """The same images and labels, to be looked at although the references are not there."""
    cohort = experiment.cohort.model_copy(update={"references": NoReferences()})
    return experiment.model_copy(update={"cohort": cohort})


def check_packages(experiment: Experiment) -> None:
    """Raise a UserError if tasks that run with this python will lack a package."""
    lines = _lacking_here() + _lacking_for_propagation(experiment)
    if experiment.run.tensorboard:
        lines += _lacking_tensorboard()
    if lines:
        raise UserError("\n".join(lines))


def _lacking_here() -> list[str]:
    lacking = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if not lacking:
        return []
    return [
        f"{sys.executable}: has no {', '.join(lacking)}, and the tasks will run with it; install "
        "them with pip install '.[run]', or set cluster.container.image to an image that has them"
    ]


def _lacking_for_propagation(experiment: Experiment) -> list[str]:
    propagated = experiment.references_propagated or experiment.rival is not None
    if not propagated or importlib.util.find_spec("ants") is not None:
        return []
    asks = "cohort.references" if experiment.references_propagated else "grid.rival"
    return [
        f"{asks}: label propagation needs antspyx, which is not installed here; install it "
        "with pip install --no-deps -r jobs/image/requirements-propagation.txt"
    ]


def _lacking_tensorboard() -> list[str]:
    try:
        check_tensorboard()
    except UserError as error:
        return [str(error)]
    return []


def check_machine(
    experiment: Experiment, workers: int | None, stages: Collection[str] = STAGES
) -> None:
    """Raise a UserError if the largest tasks, side by side, need more memory than there is.

    Args:
        experiment: what is to run.
        workers: tasks at a time; None: one a core.
        stages: those that are to run on this machine.
    """
    n_workers = workers or usable_cores()
    needs = {stage: gb for stage, gb in task_memory_gb(experiment).items() if stage in stages}
    largest = max(needs, key=lambda stage: needs[stage])
    needed_gb = needs[largest] * n_workers
    there_gb = _memory_gb()
    if there_gb is not None and needed_gb > there_gb:
        raise UserError(
            f"{experiment.name}: {n_workers} tasks of {largest} side by side need about "
            f"{needed_gb:.1f} GiB, this machine has {there_gb:.1f} GiB; give --workers a smaller "
            "number, make the minibatches smaller, or submit to a cluster"
        )


def _memory_gb() -> float | None:
    """Memory of this machine or, where it is less, of its control group."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = Path("/sys/fs/cgroup") / name
        try:
            total = min(total, int(limit.read_text()))
        except (OSError, ValueError):
            continue  # no such control group here, or "max": no limit
    return total / 2**30
