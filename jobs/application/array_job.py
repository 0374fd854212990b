"""Many new images as one SLURM array, with the settings of the experiment's site.

The folder of the results gets `model.gansfer` and `slurm/images.csv`; each element of the array
segments its share of that table. Submitted again, the array has the images that are not done.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from gansfer.application.model_file import SUFFIX, SegmenterModel
from gansfer.atomic import write_csv
from gansfer.errors import UserError
from gansfer.readers.listed import Entry, ListedSource
from jobs.experiment.model import NAME_PATTERN, Experiment
from jobs.slurm.arrays import Array
from jobs.slurm.sbatch import python_command, sbatch_parameters
from jobs.slurm.submission import array_size, submit_script
from jobs.store.storage import Storage

# Starting takes an element some 20 s, an image of full size a core about a minute.
IMAGES_OF_AN_ELEMENT = 8


def submit_segmentation(
    experiment: Experiment,
    model: SegmenterModel,
    source: ListedSource,
    ids: Sequence[str],
    out: Path,
) -> tuple[str, int]:
    """Submit images, which were checked.

    Args:
        experiment: whose site profile and resources (of segment_cohort) are asked for.
        model: the segmenter.
        source: the reader of the images.
        ids: of the images.
        out: the folder of the results.

    Returns:
        The job's id, and the number of its elements.

    Raises:
        UserError: the folder's name is none of a job, or sbatch refused.
    """
    out = out.expanduser().absolute()
    check_name(out)
    chosen = set(ids)
    entries = [one for one in source.entries if one.id in chosen]
    file, table = out / f"model{SUFFIX}", out / "slurm" / "images.csv"
    n_parts = min(-(-len(entries) // IMAGES_OF_AN_ELEMENT), array_size(experiment))
    site = _with_folders(experiment, entries, out)
    storage = Storage(site)
    asked = Array("segment_cohort", None, None, (), experiment.stage_resources("segment_cohort"))
    name = f"{out.name}.segment"
    parameters = sbatch_parameters(asked, name, (), site)
    parameters["additional_parameters"]["comment"] = f"{len(entries)} images to segment"
    if n_parts > 1:
        parameters["map_count"] = n_parts
    model.write(file)
    write_csv(table, ("id", "image", "mask"), [_row(one) for one in entries])
    options = ["--table", str(table), "--out", str(out)]
    if all(source.in_common_space(one) for one in ids):
        options.append("--in-common-space")
    command = (
        f"{python_command(site, storage)} -u -m jobs.commands.cli segment "
        f"{shlex.join([str(file), *options])} --part ${{SLURM_ARRAY_TASK_ID:-0}}/{n_parts}"
    )
    return submit_script(storage, name, command, parameters), n_parts


def check_name(out: Path) -> None:
    """Check that the folder's name, which the job gets, is one that SLURM takes.

    Raises:
        UserError: it is not.
    """
    if not re.fullmatch(NAME_PATTERN, out.absolute().name):
        raise UserError(
            f"--out {out}: names the job; use letters, digits, dots, dashes and underscores"
        )


def _with_folders(experiment: Experiment, entries: Sequence[Entry], out: Path) -> Experiment:
    """The experiment with `out` for its folder, and the images' folders seen by the container."""
    folders = sorted({path.parent for one in entries for path in _paths(one)})
    container = experiment.cluster.container
    binds = (*container.binds, *(f"{folder}:{folder}:ro" for folder in folders))
    cluster = experiment.cluster.model_copy(
        update={"container": container.model_copy(update={"binds": binds})}
    )
    return experiment.model_copy(
        update={"storage": str(out.parent), "name": out.name, "cluster": cluster}
    )


def _row(one: Entry) -> tuple[str, ...]:
    image, *mask = (str(path) for path in _paths(one))
    return (one.id, image, *(mask or [""]))


def _paths(one: Entry) -> list[Path]:
    return [path.absolute() for path in (one.image, one.mask) if path is not None]
