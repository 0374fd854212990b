"""Are a run's test subjects, segmented as new images from their files, segmented as well as in it?

    python -m tests.benchmarks.new_images runs/oasis --cell fold-0/labels-06/ratio-2to1

Each test subject's image file goes through what `gansfer segment` does. DSC, all structures as one
foreground, of the run's own predictions and of the new ones: in the region of interest, against the
labels brought there in the same way, and on the image's own grid, against the labels as they were
drawn. `nearest` is the new one brought back by nearest neighbour instead. The two ways differ where
the cohort has the subject's own image in the common space, to which the run's registration goes on.
Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gansfer.application.model_file import SegmenterModel
from gansfer.application.own_grid import to_own_grid
from gansfer.application.segment_image import segment_image
from gansfer.evaluation.predictions import read_predictions
from gansfer.preprocessing.placing import place_and_align
from gansfer.preprocessing.roi_check import roi_affine
from gansfer.readers.listed import Entry, ListedSource, Listing
from gansfer.resampling import resample_labels
from gansfer.subjects import RawSubject
from jobs.application.packaging import packaged_model
from jobs.experiment.cohort_section import PhantomImages
from jobs.inputs.sources import make_source
from jobs.store.opening import open_experiment
from tests.benchmarks.arguments import existing, parser_of
from tests.benchmarks.prepared import Labels, dice, numbers

COLUMNS = ("run, region", "run, own", "new, region", "new, own", "nearest, own")


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Print a row a test subject and the means, and give the rows."""
    parser = parser_of(__doc__)
    parser.add_argument("config", type=existing)
    parser.add_argument("--cell", help="such as fold-0/labels-06/baseline")
    chosen = parser.parse_args(arguments)
    plan, storage = open_experiment(chosen.config)
    if isinstance(plan.experiment.cohort.images, PhantomImages):
        parser.error(f"{chosen.config}: the images of the built-in cohort are in no files")
    model, why = packaged_model(plan, storage, chosen.cell)
    name = model.facts.training.cell
    print(f"{name} ({why})")
    print(f"{'':<16}{'the run':>16}{'new images':>16}")
    print(
        f"{'subject':<16}{'region':>8}{'own':>8}{'region':>8}{'own':>8}{'nearest':>8}{'similarity':>12}"
    )
    source = make_source(plan.experiment)
    files = storage.files(plan.by_id[f"train_segmenter/{name}"])
    rows: dict[str, dict[str, float]] = {}
    warned = []
    for subject_id, own_zhw in read_predictions(files.predictions).items():
        raw = source.load(subject_id)
        listing = Listing((Entry(subject_id, subject_id, source.files(subject_id)[0]),))
        new = ListedSource(listing, in_common_space=raw.in_common_space)
        result = segment_image(new.load(subject_id), model)
        _, run_pose = place_and_align(raw, model.facts.roi, model.template, correct=model.facts.n4)
        row = [
            *both_spaces(own_zhw, raw, run_pose, model, to_own_grid),
            *both_spaces(result.label_zhw, raw, result.common_from_native, model, to_own_grid),
            both_spaces(result.label_zhw, raw, result.common_from_native, model, nearest)[1],
        ]
        rows[subject_id] = dict(zip(COLUMNS, row, strict=True))
        warned += [f"{subject_id}: {one}" for one in result.warnings]
        print(f"{subject_id:<16}{numbers(row)}{result.similarity or 1:12.3f}", flush=True)
    means = np.mean([list(row.values()) for row in rows.values()], axis=0)
    print(f"{f'mean, n={len(rows)}':<16}{numbers(means)}")
    print(f"warnings: {'; '.join(warned) or 'none'}")
    return rows


def both_spaces(
    label_zhw: Labels,
    raw: RawSubject,
    common_from_native: npt.NDArray[np.float64],
    model: SegmenterModel,
    back: Callable[..., Labels],
) -> tuple[float, float]:
    """DSC of a label map in the region, and on the image's grid."""
    truth_xyz, roi, n = raw.label, model.facts.roi, len(model.facts.structures)
    assert truth_xyz is not None
    voxel_from_roi = np.linalg.inv(common_from_native @ raw.image.affine_ras) @ roi_affine(roi)
    truth_zhw = resample_labels(truth_xyz, voxel_from_roi, roi.shape_zhw)
    label_xyz = back(label_zhw, voxel_from_roi, truth_xyz.shape)
    return dice(label_zhw, truth_zhw, n)[0], dice(label_xyz, truth_xyz, n)[0]


def nearest(
    label_zhw: Labels, voxel_from_roi: npt.NDArray[np.float64], shape_xyz: tuple[int, ...]
) -> Labels:
    """The nearest voxel's label on the image's grid."""
    to_roi = np.linalg.inv(voxel_from_roi)
    moved: Labels = ndimage.affine_transform(
        label_zhw, to_roi[:3, :3], to_roi[:3, 3], output_shape=shape_xyz, order=0
    )
    return moved


if __name__ == "__main__":
    main()
