"""What could a perfect generator give? Baseline, label path and truth on a cohort of known truth.

    python -m tests.benchmarks.ceiling [COHORT] [--labels 1] [--fold 0] [--seed 0] [--config FILE]
        [--arms baseline path truth] [--ratio 2] [--labels-only] [--set NAME=VALUE]
        [--synthetic FILE ...]

COHORT is the folder `cohort` of an experiment whose references are the truth (without it, the
built-in cohort, small). Half of the unlabelled people, drawn by `--split`, stand in for what a
perfect generator would draw: `truth` adds their slices with their true labels to the N labelled
subjects, `path` with these labels sent through the label path of the cell (encoded with its code,
decoded, numbered, postprocessed), `path-numbered` the same with their true slice numbers. An arm
with `-only` trains without the real ones. Printed: DSC of the labels to the truth, of the fold's
test subjects, and of the other half by age and structure. Of what there is to gain, from baseline
to truth, each arm's share: every number of a real generator can be read so. `--labels-only` trains
no arm; `--set` changes single encoding and synthesis settings (slice_numbers_from=labelled).

`--synthetic`, files of the stage `synthesise` (phase-2.h5, phase-3.h5), says where the rest is
lost: in the images or in their labels. It brings two arms: `generated`, the slices that passed the
filter with their labels, and `judged`, the same with the labels of a segmenter that was trained on
the truth of the half that gives.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gansfer.cohort.encode import fit_code
from gansfer.cohort.shards import Cohort
from gansfer.cohort.splits import folds
from gansfer.segmentation.patches import Pool
from gansfer.settings import EncodingSettings, SegmenterSettings, SynthesisSettings
from gansfer.subjects import Subject
from gansfer.synthesis.calibration import fitted_rule
from gansfer.synthesis.neighbours import nearest_slice_number
from gansfer.synthesis.postprocess import postprocess, structure_masks
from gansfer.synthesis.synthetic_sets import concatenate, read_synthetic
from jobs.experiment.loading import load_experiment
from tests.benchmarks.arguments import existing, parser_of, prepared_cohort
from tests.benchmarks.prepared import (
    SEGMENTER,
    Images,
    Labels,
    built_in_cohort,
    chosen_settings,
    dice,
    flat,
    header,
    numbers,
    segmented,
    slices_pool,
    trained,
    unlabelled_people,
    volumes_pool,
)

ARMS = ("baseline", "path", "truth")
OF_GENERATED = ("generated", "judged")
_ALL_GENERATED = {*OF_GENERATED, *(f"{arm}-only" for arm in OF_GENERATED)}
AGES = (("under 60", 0, 60), ("60+", 60, 200), ("75+", 75, 200))


@dataclass(frozen=True)
class Given:
    """What the benchmark works on.

    Attributes:
        cohort: with the truth as references.
        training_ids: the N labelled subjects.
        test_ids: of the fold.
        givers: unlabelled people whose slices stand in for generated ones.
        others: unlabelled people who are measured.
        generated: slices of a generator with their own labels and with those of a segmenter that
            knows the truth; None: none were given.
    """

    cohort: Cohort
    training_ids: tuple[str, ...]
    test_ids: tuple[str, ...]
    givers: tuple[Subject, ...]
    others: tuple[Subject, ...]
    generated: tuple[Images, Labels, Labels] | None = None


def given(cohort: Cohort, n_labels: int, n_folds: int, fold: int, split: int) -> Given:
    """Who is who; the halves depend on `split` alone."""
    labelled = [subject.id for subject in cohort.subjects if subject.labelled]
    chosen = folds(labelled, n_folds, 0)[fold]
    people = unlabelled_people(cohort)
    order = np.random.default_rng(split).permutation(len(people))
    half = len(people) // 2
    return Given(
        cohort,
        chosen.training_set(n_labels),
        chosen.test_ids,
        tuple(people[i] for i in order[:half]),
        tuple(people[i] for i in order[half:]),
    )


def through_the_label_path(
    who: Given, encoding: EncodingSettings, synthesis: SynthesisSettings, true_numbers: bool
) -> tuple[Images, Labels]:
    """Slices [K, H, W] of the givers as a perfect generator would leave them, with their labels."""
    cohort, ids = who.cohort, [one.id for one in who.givers]
    image_nzhw, label_nzhw = cohort.images(who.training_ids), cohort.labels(who.training_ids)
    white_n = cohort.white_matter(who.training_ids)
    pool_mzhw = cohort.images(ids)
    code = fit_code(
        image_nzhw,
        label_nzhw,
        white_n,
        pool_mzhw,
        cohort.structures,
        encoding.mr_percentiles,
        encoding.label_percentile,
        encoding.level_percentile,
        encoding.least_contrast,
    )
    spacing_zhw_mm = cohort.spacing_zhw_mm
    mask_szhw = structure_masks(
        label_nzhw, len(cohort.structures), synthesis.mask_margin_mm, spacing_zhw_mm
    )
    _, trained_kshw = code.decode(code.encode(image_nzhw, label_nzhw, white_n)[0])
    rule = fitted_rule(
        image_nzhw, label_nzhw, trained_kshw, mask_szhw, spacing_zhw_mm[1:], synthesis
    )
    drawn_kchw, _ = code.encode(pool_mzhw, cohort.references(ids), cohort.white_matter(ids))
    image_khw, contrast_kshw = code.decode(drawn_kchw)
    n_slices = label_nzhw.shape[1]
    if true_numbers:
        slice_index_k = np.tile(np.arange(n_slices), len(ids))
    else:
        numbered_nzhw = image_nzhw
        if synthesis.slice_numbers_from == "known":
            # Not the givers themselves: a generated slice is no copy of a real one.
            others = [one.id for one in who.others]
            numbered_nzhw = np.concatenate([cohort.images(others), image_nzhw])
        slice_index_k = nearest_slice_number(image_khw, numbered_nzhw)
    return image_khw, postprocess(image_khw, contrast_kshw, slice_index_k, mask_szhw, rule)


def judged(
    who: Given, files: Sequence[Path], settings: SegmenterSettings, seed: int
) -> tuple[Images, Labels, Labels]:
    """Generated slices, their labels, and what a segmenter sees that knows the givers' truth."""
    slices = concatenate([read_synthetic(file) for file in files])
    ids, n_classes = [one.id for one in who.givers], len(who.cohort.structures) + 1
    truth = volumes_pool(who.cohort.images(ids), who.cohort.references(ids))
    with tempfile.TemporaryDirectory() as folder:
        state = trained(settings, truth, None, None, n_classes, seed, Path(folder))
    image_khw = slices.image_khw.astype(np.float32)
    return image_khw, slices.label_khw, segmented(state, image_khw, settings, n_classes)


def made(
    who: Given, arm: str, encoding: EncodingSettings, synthesis: SynthesisSettings
) -> tuple[Images, Labels, Labels]:
    """The synthetic slices of an arm, their labels, and the truth: as near as it is known."""
    base = arm.removesuffix("-only")
    if base in OF_GENERATED:
        assert who.generated is not None
        image_khw, label_khw, judged_khw = who.generated
        return image_khw, label_khw if base == "generated" else judged_khw, judged_khw
    ids = [one.id for one in who.givers]
    truth_khw = flat(who.cohort.references(ids))
    if base == "truth":
        return flat(who.cohort.images(ids)), truth_khw, truth_khw
    path = through_the_label_path(who, encoding, synthesis, base == "path-numbered")
    return *path, truth_khw


def synthetic_slices(
    who: Given, arm: str, encoding: EncodingSettings, synthesis: SynthesisSettings
) -> Pool:
    """What an arm trains with; prints the DSC of its labels to the truth."""
    image_khw, label_khw, truth_khw = made(who, arm, encoding, synthesis)
    print(f"{arm:20} labels to truth {header(who.cohort.structures)}")
    agreed = dice(label_khw, truth_khw, len(who.cohort.structures))
    print(f"{'':36} {numbers(agreed)}", flush=True)
    return slices_pool(image_khw, label_khw)


def measured(
    who: Given, state: dict, settings: SegmenterSettings
) -> tuple[list[list[float]], list[list[float]]]:
    """DSC rows of the test subjects and of the other people."""
    cohort, n = who.cohort, len(who.cohort.structures)

    def rows(ids: Sequence[str], truth_nzhw: Labels) -> list[list[float]]:
        return [
            dice(segmented(state, cohort.images([one])[0], settings, n + 1), truth_zhw, n)
            for one, truth_zhw in zip(ids, truth_nzhw, strict=True)
        ]

    others = [one.id for one in who.others]
    return (
        rows(who.test_ids, cohort.labels(who.test_ids)),
        rows(others, cohort.references(others)),
    )


def run(
    who: Given,
    arms: Sequence[str],
    encoding: EncodingSettings,
    synthesis: SynthesisSettings,
    segmenter: SegmenterSettings,
    ratio: float,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Every arm's numbers, printed as they come; overall DSC by group of subjects."""
    cohort = who.cohort
    n = len(cohort.structures)
    real = volumes_pool(cohort.images(who.training_ids), cohort.labels(who.training_ids))
    age_n = np.array([one.age_years or np.nan for one in who.others])
    results: dict[str, dict[str, float]] = {}
    print(
        f"{len(who.training_ids)} labelled, {len(who.givers)} give, {len(who.others)} and "
        f"{len(who.test_ids)} test subjects are measured, seed {seed}, {ratio:g}:1"
    )
    for arm in arms:
        synthetic: Pool | None = None
        if arm != "baseline":
            synthetic = synthetic_slices(who, arm, encoding, synthesis)
        only = arm.endswith("-only")
        with tempfile.TemporaryDirectory() as folder:
            state = trained(
                segmenter,
                None if only else real,
                synthetic,
                None if only or synthetic is None else ratio,
                n + 1,
                seed,
                Path(folder),
            )
        test_rows, other_rows = (np.array(rows) for rows in measured(who, state, segmenter))
        overall_n = other_rows[:, 0]
        result = {"test": float(np.nanmean(test_rows[:, 0])), "others": float(overall_n.mean())}
        for name, low, high in AGES:
            inside_n = (age_n >= low) & (age_n < high)
            if inside_n.any():
                result[name] = float(overall_n[inside_n].mean())
        results[arm] = result
        by_group = ", ".join(f"{name} {100 * value:.1f}" for name, value in result.items())
        print(f"{arm:20} {by_group}")
        print(f"{'':20} others by structure {header(cohort.structures)}")
        print(f"{'':40} {numbers(list(np.nanmean(other_rows, axis=0)))}", flush=True)
    print_shares(results)
    return results


def print_shares(results: dict[str, dict[str, float]]) -> None:
    """Each arm's share of what lies between baseline and truth, where both were measured."""
    if not {"baseline", "truth"} <= set(results):
        return
    for name, low in results["baseline"].items():
        gain = results["truth"][name] - low
        shares = ", ".join(
            f"{arm} {(result[name] - low) / gain:.2f}" if gain > 0 else f"{arm} -"
            for arm, result in results.items()
        )
        print(f"{name:10} to gain {100 * gain:5.1f} points; share: {shares}")


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("cohort", type=prepared_cohort, nargs="?")
    parser.add_argument("--labels", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", type=int, default=1)
    parser.add_argument("--ratio", type=float, default=2.0)
    parser.add_argument("--arms", nargs="+", help="baseline, path, truth; see --synthetic")
    parser.add_argument("--synthetic", type=existing, nargs="+", help="of the stage synthesise")
    parser.add_argument("--config", type=existing, help="its encoding, synthesis and segmenter")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--labels-only", action="store_true")
    parser.add_argument("--iterations", type=int, help="of a segmenter, for a quick look")
    asked = parser.parse_args(arguments)
    encoding, synthesis = chosen_settings(asked.config, asked.changes)
    segmenter = SEGMENTER if asked.config is None else load_experiment(asked.config).segmenter
    if asked.iterations is not None:
        segments = asked.iterations * segmenter.batch_segments
        segmenter = segmenter.model_copy(
            update={"epochs": 1, "subepochs_per_epoch": 1, "segments_per_subepoch": segments}
        )
    arms = asked.arms or [*ARMS, *(OF_GENERATED if asked.synthetic else ())]
    if asked.synthetic is None and (missing := {*arms} & _ALL_GENERATED):
        parser.error(f"--arms {min(missing)} needs --synthetic, files of the stage synthesise")
    with tempfile.TemporaryDirectory() as folder:
        cohort = (
            built_in_cohort(Path(folder), 4, 8, 4.0)
            if asked.cohort is None
            else Cohort(asked.cohort)
        )
        n_folds = 2 if asked.cohort is None else asked.folds
        who = given(cohort, asked.labels, n_folds, asked.fold, asked.split)
        if asked.synthetic is not None:
            generated = judged(who, asked.synthetic, segmenter, asked.seed)
            who = replace(who, generated=generated)
        if asked.labels_only:
            for arm in arms:
                synthetic_slices(who, arm, encoding, synthesis)
            return {}
        return run(who, arms, encoding, synthesis, segmenter, asked.ratio, asked.seed)


if __name__ == "__main__":
    main()
