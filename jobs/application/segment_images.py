"""New images through a model, one after the other: all are checked before the first is written.

An image is done when its record is there; the same command again goes on with the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gansfer.application.model_file import SegmenterModel
from gansfer.application.outputs import (
    RECORD_ENDING,
    read_record,
    write_outputs,
    write_tables,
)
from gansfer.application.segment_image import SegmentedImage, segment_image
from gansfer.errors import UserError
from gansfer.subjects import FileSource
from jobs.inputs.input_check import findings_of
from jobs.store.processes import usable_cores
from jobs.store.source_files import stamps_of

# Processes take longer to start than a few images to read.
_FEW_IMAGES = 4


@dataclass(frozen=True)
class Step:
    """How one image ended.

    Attributes:
        id: of the image.
        result: None: it was done before, or failed.
        problem: why it failed; empty: it did not.
    """

    id: str
    result: SegmentedImage | None = None
    problem: str = ""


def check_images(
    source: FileSource, model: SegmenterModel, out: Path, part: tuple[int, int] = (0, 1)
) -> tuple[list[str], list[str]]:
    """Read every image as `gansfer validate` does, and look at what `out` holds.

    Args:
        source: the reader of the images.
        model: the segmenter.
        out: the folder of the results.
        part: (k, n) for the k-th of n shares of the images, from 0.

    Returns:
        Ids of the images that are not done yet, and what the user should know.

    Raises:
        UserError: everything that is wrong, one line each.
    """
    survey = source.survey()
    problems, notes = list(survey.problems), list(survey.notes)
    ids = [one.id for one in survey.subjects][part[0] :: part[1]]
    problems += _other_results(source, model, out, ids)
    todo = [one for one in ids if not (out / f"{one}{RECORD_ENDING}").exists()]
    workers = 1 if len(todo) <= _FEW_IMAGES else usable_cores()
    for findings in findings_of(source, model.facts.roi, todo, workers):
        problems += findings.problems
        notes += findings.notes
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return todo, list(dict.fromkeys(notes))


def segment_images(
    source: FileSource, model: SegmenterModel, ids: Sequence[str], out: Path
) -> Iterator[Step]:
    """Segment images and write what each leaves; yield how each ended.

    Args:
        source: the reader of the images.
        model: the segmenter.
        ids: of the images.
        out: the folder of the results; made where it is not there.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for subject_id in ids:
        try:
            result = segment_image(source.load(subject_id), model, device=device)
        except UserError as error:
            yield Step(subject_id, problem=str(error))
            continue
        record = _identity(source, model, subject_id) | {
            "gansfer": model.facts.version,
            "cell": model.facts.training.cell,
        }
        write_outputs(out, result, model.facts.structures, record)
        yield Step(subject_id, result)
    if any(out.glob(f"*{RECORD_ENDING}")):
        write_tables(out, model.facts.numbers)


def _identity(source: FileSource, model: SegmenterModel, subject_id: str) -> dict[str, Any]:
    """What a result belongs to: the model, and the image's files as they are."""
    return {
        "model": model.digest,
        "registered": not source.in_common_space(subject_id),
        "files": stamps_of(source.files(subject_id)),
    }


def _other_results(
    source: FileSource, model: SegmenterModel, out: Path, ids: Sequence[str]
) -> list[str]:
    """What `out` holds that these results must not be mixed with."""
    if out.exists() and not out.is_dir():
        return [f"--out {out}: is a file; give a folder"]
    problems = []
    for path in sorted(out.glob(f"*{RECORD_ENDING}")):
        record, own_id = read_record(path), path.name.removesuffix(RECORD_ENDING)
        if record.get("model") != model.digest:
            problems.append(
                f"{path}: is of another model or cell; give another --out, or remove it"
            )
        elif own_id in ids:
            now = _identity(source, model, own_id)
            if any(record.get(key) != value for key, value in now.items()):
                problems.append(
                    f"{path}: is of another image of this name, or the image was changed since; "
                    "give another --out, or remove it"
                )
    return problems
