"""Do synthetic labels belong to their synthetic images? A segmenter trained on the truth judges.

    python -m tests.benchmarks.agreement [COHORT] [SYNTHETIC ...] [--judge FILE] [--config FILE]
                                         [--unfiltered]

COHORT is the folder `cohort` of an experiment whose references are the truth; SYNTHETIC are files
of the stage `synthesise` (phase-1.h5 and so on) or folders of them. A segmenter trained on the true
labels of all unlabelled people, of every age, labels the slices that the realism filter retained,
or with `--unfiltered` all; its labels are set against theirs. It uses the truth: for measuring
only. First row: the real labelled subjects, which is its own accuracy. `--judge` keeps the
segmenter for the next time. Printed for each file: DSC of label and judgement over all slices
together, the labels' volume as a share of the judgement's, and the labelled pixels of a slice as a
share of those of the real labelled subjects' slices. Without COHORT: the built-in cohort, where
true labels and labels shifted by two pixels are judged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file, save_file

from gansfer.cohort.shards import Cohort
from gansfer.settings import SegmenterSettings
from gansfer.synthesis.synthetic_sets import read_synthetic
from jobs.experiment.loading import load_experiment
from tests.benchmarks.arguments import existing, parser_of, prepared_cohort
from tests.benchmarks.prepared import (
    SEGMENTER,
    Images,
    Labels,
    built_in_cohort,
    dice,
    flat,
    header,
    numbers,
    segmented,
    trained,
    unlabelled_people,
    volumes_pool,
)

EPOCHS = 8


@dataclass(frozen=True)
class Judged:
    """One set of slices: overall, then each structure.

    Attributes:
        dsc: of the labels and the judge's.
        volume: labelled pixels over the judge's.
        area: labelled pixels of a slice over those of the real labelled subjects.
    """

    dsc: list[float]
    volume: list[float]
    area: list[float]


class Judge:
    """A segmenter trained on the true labels of the unlabelled people.

    Args:
        cohort: with the truth as references.
        settings: of its training.
        kept: file with its weights; written where it is missing.
        seed: of its training.
    """

    def __init__(
        self, cohort: Cohort, settings: SegmenterSettings, kept: Path | None, seed: int = 0
    ) -> None:
        self._settings, self._n = settings, len(cohort.structures)
        if kept is not None and kept.exists():
            self._state = load_file(kept)
        else:
            ids = [one.id for one in unlabelled_people(cohort)]
            pool = volumes_pool(cohort.images(ids), cohort.references(ids))
            with tempfile.TemporaryDirectory() as folder:
                self._state = trained(settings, pool, None, None, self._n + 1, seed, Path(folder))
            if kept is not None:
                save_file(self._state, kept)
        ids = [one.id for one in cohort.subjects if one.labelled]
        self.real = flat(cohort.images(ids)), flat(cohort.labels(ids))
        self._real_area = self._per_slice(self.real[1])

    def judge(self, image_khw: Images, label_khw: Labels) -> Judged:
        """Set the labels of some slices against what the segmenter sees in them."""
        seen_khw = segmented(self._state, image_khw, self._settings, self._n + 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            volume = self._per_slice(label_khw) / self._per_slice(seen_khw)
            area = self._per_slice(label_khw) / self._real_area
        return Judged(dice(label_khw, seen_khw, self._n), list(volume), list(area))

    def _per_slice(self, label_khw: Labels) -> npt.NDArray[np.float64]:
        """Pixels of a slice: labelled at all, then of each structure."""
        pixels_v = np.bincount(label_khw.ravel(), minlength=self._n + 1)[1:] / len(label_khw)
        return np.array([pixels_v.sum(), *pixels_v])


def report(name: str, n_slices: int, judged: Judged) -> None:
    """Print one set."""
    print(f"{name:32} {n_slices:6}  DSC    {numbers(judged.dsc)}")
    print(f"{'':40} volume {numbers(judged.volume, per=1.0)}")
    print(f"{'':40} area   {numbers(judged.area, per=1.0)}", flush=True)


def files_of(given: Sequence[Path]) -> list[Path]:
    """The files, and those of the folders."""
    return [file for one in given for file in (sorted(one.glob("*.h5")) if one.is_dir() else [one])]


def main(arguments: Sequence[str] | None = None) -> dict[str, Judged]:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("cohort", type=prepared_cohort, nargs="?")
    parser.add_argument("synthetic", type=existing, nargs="*")
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--unfiltered", action="store_true")
    parser.add_argument("--config", type=existing, help="its segmenter, but eight epochs")
    parser.add_argument("--iterations", type=int, help="of the judge, for a quick look")
    asked = parser.parse_args(arguments)
    segmenter = SEGMENTER if asked.config is None else load_experiment(asked.config).segmenter
    segmenter = segmenter.model_copy(update={"epochs": EPOCHS})
    if asked.iterations is not None:
        segments = asked.iterations * segmenter.batch_segments
        segmenter = segmenter.model_copy(
            update={"epochs": 1, "subepochs_per_epoch": 1, "segments_per_subepoch": segments}
        )
    with tempfile.TemporaryDirectory() as folder:
        cohort = (
            built_in_cohort(Path(folder), 2, 6, 4.0)
            if asked.cohort is None
            else Cohort(asked.cohort)
        )
        judge = Judge(cohort, segmenter, asked.judge)
        results = {"real labelled": judge.judge(*judge.real)}
        print(f"{'':48}{header(cohort.structures)}")
        report("real labelled", len(judge.real[0]), results["real labelled"])
        if asked.cohort is None:
            image_khw, label_khw = judge.real
            results["shifted"] = judge.judge(image_khw, np.roll(label_khw, 2, axis=2))
            report("shifted", len(image_khw), results["shifted"])
        for file in files_of(asked.synthetic):
            kept = read_synthetic(file, kept_only=not asked.unfiltered)
            name = str(file.relative_to(file.parents[min(5, len(file.parents) - 1)]))
            results[str(file)] = judge.judge(kept.image_khw.astype(np.float32), kept.label_khw)
            report(name[-32:], len(kept), results[str(file)])
    return results


if __name__ == "__main__":
    main()
