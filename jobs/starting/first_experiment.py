"""The text of a first experiment: what was found, what one may change, and why."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gansfer.errors import UserError
from jobs.starting.found_data import FoundData

_LABEL_COUNTS = (1, 3, 6, 12, 24)
_MOST_FOLDS = 5


def experiment_text(name: str, kind: str, found: FoundData, file: Path) -> str:
    """A commented experiment on the data that were found.

    Args:
        name: of the experiment.
        kind: of its images.
        found: the data.
        file: where it will be written; paths below its folder are relative to it.

    Raises:
        UserError: too few subjects have labels.
    """
    n = found.n_labelled
    if n < 2:
        raise UserError(
            f"{found.images.get('folder', found.labels.get('folder'))}: {n} subject has labels, "
            "expected at least 2: one to train on, one to test on"
        )
    folds = min(_MOST_FOLDS, n)
    training = n - -(-n // folds)
    counts = [count for count in _LABEL_COUNTS if count <= training]
    images = {"kind": kind, **found.images}
    space = "registered to the template" if found.registered else "all on one grid: not registered"
    small = found.voxel_mm > 1
    return f"""\
# {name}: an experiment on your own images.
# Check:    gansfer validate {file.name}    reads every file, lists all that is wrong
# Cost:     gansfer describe {file.name}    networks, and estimated hours
# Command:  gansfer run {file.name}         or gansfer submit, on a cluster
# What is not written here has the paper's value; gansfer schema lists everything.
name: {name}
storage: ${{GANSFER_STORAGE:-runs}}   # products go to <storage>/{name}/
cohort:
  images:   # {space if kind != "oasis" else "in the atlas's space already"}
{_section(images, file)}
  labels:
{_section(found.labels, file)}
  # Nothing to measure the whole cohort against; see gansfer/README.md for kinds of references.
  references: {{kind: none}}
  structures: [{", ".join(found.structures)}]
  roi: {{voxel_mm: {found.voxel_mm:g}}}   # the region is 80 x 80 x 60 mm round the deep grey matter
grid:
  folds: {folds}                  # {n} subjects have labels
  # use_folds: [0]          # only some of the folds: a fifth of the time
  label_counts: {counts}   # how many labelled subjects to learn from
  ratios: ["10:1", "2:1", "1:1"]   # real:synthetic
# The GAN's size and schedule are the paper's: days on a GPU. For a first look in an hour or so:
# gan:
#   latent_size: 128
#   fmap_base: 2048
#   fmap_max: 64
#   minibatch: 16
#   learning_rate: 8.0e-3   # the default, 1.0e-3, learns too little from so few images
#   phase_1: {{fade_images: 20000, stable_images: 40000}}
#   phase_2: {{images: 20000, learning_rate: 2.0e-3}}
#   phase_3:
#     images: 20000
#     learning_rate: 2.0e-3
#     unfreeze_every_images: 5000
#     selftaught_slices: 2000
# synthesis: {{slices_per_phase: 2000}}
segmenter:
  preset: {"deepmedic-original" if small else "deepmedic"}
#   epochs: 5
#   segments_per_subepoch: 200
# On a cluster: a site profile, such as one that gansfer init --copy clusters/slurm writes.
# cluster: clusters/slurm.yaml
"""


def _section(values: dict[str, object], file: Path) -> str:
    return "\n".join(f"    {key}: {_shown(value, file)}" for key, value in values.items())


def _shown(value: object, file: Path) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = _from(value, file.absolute().parent) if isinstance(value, Path) else str(value)
    return text if re.fullmatch(r"[A-Za-z0-9_./-]+", text) else json.dumps(text, ensure_ascii=False)


def _from(path: Path, folder: Path) -> str:
    path = path.absolute()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
