"""What does the label path do to perfect labels? Encoded, decoded, postprocessed: what survives?

    python -m tests.benchmarks.roundtrip [CHALLENGE] [--voxel 2] [--config FILE] [--set NAME=VALUE]

CHALLENGE is the folder of the MICCAI 2012/13 labelled images; without it, people of the built-in
cohort. Every subject is a training set of its own, as at N = 1 (`--group 6`: six share a code and
thresholds), in its native pose. For each step, overall and by structure: the DSC to the labels
that went in, mean over subjects; last, the volume that is left. Wanted at 2 mm: .975 overall and
.96 for every structure; at 1 mm .96 and .93; volumes within 6 %. `--config` takes encoding and
synthesis settings from an experiment, `--set` changes single ones (intensity_sd=3,
level_percentile=null).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.cohort.encode import fit_code
from gansfer.phantom.phantom_source import PhantomSource
from gansfer.preprocessing.preprocess import PreparedSubject, prepare_subject
from gansfer.readers.challenge import ChallengeSource
from gansfer.settings import EncodingSettings, RoiSettings, SynthesisSettings
from gansfer.structures import PAPER_STRUCTURES
from gansfer.subjects import RawSubject
from gansfer.synthesis.calibration import fitted_rule, structure_dsc
from gansfer.synthesis.postprocess import PostprocessSteps, postprocess_steps, structure_masks
from tests.benchmarks.arguments import existing, parser_of
from tests.benchmarks.prepared import chosen_settings

STEPS = {
    "binarised": "binarised_khw",
    "filled": "filled_khw",
    "gated": "gated_khw",
    "refilled": "refilled_khw",
    "final": "label_khw",
}
N_STRUCTURES = len(PAPER_STRUCTURES)
SIDE_MM, HEIGHT_MM = 104.0, 88.0

Labels = npt.NDArray[np.uint8]


def real_subjects(folder: Path, voxel_mm: float, n: int) -> list[PreparedSubject]:
    """The labelled subjects of the challenge, each round the middle of its labels."""
    source = ChallengeSource(folder, PAPER_STRUCTURES)
    prepared = []
    for subject in source.subjects()[:n]:
        raw = source.load(subject.id)
        prepared.append(prepare_subject(raw, region_round(raw, voxel_mm), np.eye(4)))
    return prepared


def region_round(raw: RawSubject, voxel_mm: float) -> RoiSettings:
    """A region that holds all labels of a subject in its native pose."""
    assert raw.label is not None
    at = np.argwhere(np.asarray(raw.label) > 0)
    middle = (at.min(0) + at.max(0)) / 2
    x_mm, y_mm, z_mm = (raw.image.affine_ras @ [*middle, 1.0])[:3]
    return RoiSettings(
        size_mm=(SIDE_MM, SIDE_MM, HEIGHT_MM), centre_mm=(x_mm, y_mm, z_mm), voxel_mm=voxel_mm
    )


def built_in_subjects(voxel_mm: float, n: int) -> list[PreparedSubject]:
    """Labelled people of the built-in cohort."""
    roi = RoiSettings(voxel_mm=voxel_mm)
    source = PhantomSource(n, 1, seed=0, roi=roi)
    return [prepare_subject(source.load(one.id), roi) for one in source.subjects()[:n]]


def round_trip(
    group: Sequence[PreparedSubject],
    voxel_mm: float,
    encoding: EncodingSettings,
    synthesis: SynthesisSettings,
) -> tuple[PostprocessSteps, Labels]:
    """All steps of a group's slices, and the labels that went in."""
    image_nzhw = np.stack([one.image_zhw for one in group])
    label_nzhw = np.stack([np.asarray(one.label_zhw) for one in group])
    white_n = np.array([one.white_matter for one in group], np.float32)
    code = fit_code(
        image_nzhw,
        label_nzhw,
        white_n,
        image_nzhw[:0],
        PAPER_STRUCTURES,
        encoding.mr_percentiles,
        encoding.label_percentile,
        encoding.level_percentile,
        encoding.least_contrast,
    )
    image_khw, contrast_kshw = code.decode(code.encode(image_nzhw, label_nzhw, white_n)[0])
    spacing_zhw_mm = (voxel_mm,) * 3
    mask_szhw = structure_masks(label_nzhw, N_STRUCTURES, synthesis.mask_margin_mm, spacing_zhw_mm)
    rule = fitted_rule(
        image_nzhw, label_nzhw, contrast_kshw, mask_szhw, spacing_zhw_mm[1:], synthesis
    )
    slice_index_k = np.tile(np.arange(label_nzhw.shape[1]), len(group))
    steps = postprocess_steps(image_khw, contrast_kshw, slice_index_k, mask_szhw, rule)
    return steps, label_nzhw.reshape(-1, *label_nzhw.shape[2:])


def overall_dsc(one_khw: Labels, other_khw: Labels) -> float:
    """All structures as one foreground, each pixel with its right number."""
    both = int(((one_khw > 0) & (one_khw == other_khw)).sum())
    return 2.0 * both / max(1, int((one_khw > 0).sum() + (other_khw > 0).sum()))


def measured(
    subjects: Sequence[PreparedSubject],
    voxel_mm: float,
    encoding: EncodingSettings,
    synthesis: SynthesisSettings,
    group: int = 1,
) -> dict[str, npt.NDArray[np.float64]]:
    """For each step [1 + S] DSC, overall first, and the same of `volume`; mean over subjects."""
    rows: dict[str, list[list[float]]] = {name: [] for name in (*STEPS, "volume")}
    for start in range(0, len(subjects), group):
        some = subjects[start : start + group]
        steps, label_khw = round_trip(some, voxel_mm, encoding, synthesis)
        n_slices = len(label_khw) // len(some)
        for n in range(len(some)):
            own = slice(n * n_slices, (n + 1) * n_slices)
            true_khw = label_khw[own]
            for name, field in STEPS.items():
                step_khw = getattr(steps, field)[own]
                dsc_s = structure_dsc(step_khw, true_khw, N_STRUCTURES)
                rows[name].append([overall_dsc(step_khw, true_khw), *dsc_s])
            left_s, given_s = _pixels(steps.label_khw[own]), _pixels(true_khw)
            rows["volume"].append([left_s.sum() / given_s.sum(), *(left_s / given_s)])
    return {name: np.mean(row, axis=0) for name, row in rows.items()}


def _pixels(label_khw: Labels) -> npt.NDArray[np.float64]:
    return np.bincount(label_khw.ravel(), minlength=N_STRUCTURES + 1)[1:].astype(np.float64)


def main(arguments: Sequence[str] | None = None) -> dict[str, npt.NDArray[np.float64]]:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("challenge", type=existing, nargs="?")
    parser.add_argument("--voxel", type=float, default=2.0)
    parser.add_argument("--subjects", type=int, default=30)
    parser.add_argument("--group", type=int, default=1)
    parser.add_argument("--config", type=existing)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    asked = parser.parse_args(arguments)
    encoding, synthesis = chosen_settings(asked.config, asked.changes)
    if asked.challenge is None:
        subjects = built_in_subjects(asked.voxel, asked.subjects)
    else:
        subjects = real_subjects(asked.challenge, asked.voxel, asked.subjects)
    table = measured(subjects, asked.voxel, encoding, synthesis, asked.group)
    print(f"{len(subjects)} subjects at {asked.voxel:g} mm, groups of {asked.group}")
    print(f"{'':10}" + "".join(f"{name:>12}" for name in ("overall", *PAPER_STRUCTURES)))
    for name, row in table.items():
        print(f"{name:10}" + "".join(f"{value:12.3f}" for value in row), flush=True)
    return table


if __name__ == "__main__":
    main()
