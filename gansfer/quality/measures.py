"""How good a cell's synthetic slices are: every measure of `quality.csv`, as rows.

Legend: K slices of a set, S structures, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gansfer.progress import StopRequested, Watch
from gansfer.quality.distribution import embedded, embedding_of, sliced_wasserstein, variety
from gansfer.quality.memorisation import Audit, audit, distance_to_other_people
from gansfer.quality.plausibility import (
    Shapes,
    area_distance_mm2,
    centroid_shift_mm,
    dice_of_pairs,
    shapes,
)
from gansfer.quality.sets import RealSlices, pairs_of_one_size, some
from gansfer.synthesis.neighbours import nearest
from gansfer.synthesis.synthetic_sets import SyntheticSet

Labels = npt.NDArray[np.uint8]
Sets = Mapping[int, SyntheticSet]

_WASSERSTEIN_SLICES = 256
_VARIETY_SLICES = 1000
_PAIRED_SLICES = 500
_AUDITED_PEOPLE = 20
_PAIRED_PEOPLE = 8
_NEIGHBOURS = 5
_PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class QualityRow:
    """One number of one phase's retained slices.

    Attributes:
        phase: 0 is real slices against real ones of other people, the mark to be judged by.
        measure: such as "recall" or "area_mm2_p50".
        part: channel or structure, or empty.
        value: NaN where there was nothing to measure.
        n: slices or pairs that it is of.
    """

    phase: int
    measure: str
    part: str
    value: float
    n: int


@dataclass(frozen=True)
class QualitySeeds:
    """Seeds of what is drawn: slices and directions, slices, and people."""

    wasserstein: int
    variety: int
    people: int


def measure_quality(
    sets: Sets,
    real: RealSlices,
    structures: Sequence[str],
    spacing_zhw_mm: tuple[float, float, float],
    n_slices: int,
    seeds: QualitySeeds,
    watch: Watch,
) -> list[QualityRow]:
    """Measure the retained slices of each phase.

    Args:
        sets: phase -> its synthetic slices, rejected ones too.
        real: what the GAN has seen.
        structures: names, in the order of label values.
        spacing_zhw_mm: voxel size.
        n_slices: Z of the region, for volumes.
        seeds: of the draws.
        watch: told of each measure.

    Raises:
        StopRequested: the watch asked to stop.
    """
    depth_mm = spacing_zhw_mm[0] * n_slices
    measures: dict[str, Callable[[], Iterable[QualityRow]]] = {
        "Wasserstein distance": lambda: wasserstein_rows(sets, real, structures, seeds.wasserstein),
        "variety": lambda: variety_rows(sets, real, seeds.variety),
        "memorisation": lambda: memorisation_rows(sets, real, seeds.people, watch),
        "labels": lambda: label_rows(sets, real, structures, spacing_zhw_mm[1:], depth_mm),
    }
    rows: list[QualityRow] = []
    for name, measure in measures.items():
        if watch.stopping():
            raise StopRequested
        watch.report(0, 1, "measures", name)
        rows += measure()
    return rows


def wasserstein_rows(
    sets: Sets, real: RealSlices, structures: Sequence[str], seed: int
) -> Iterator[QualityRow]:
    """Per channel: the MR against all real slices, label channels against labelled ones.

    A label channel is the structure's mask, as a segmenter is given it.
    """
    images = {phase: made.image_khw[made.kept_k] for phase, made in sets.items()}
    labels = {phase: made.label_khw[made.kept_k] for phase, made in sets.items()}
    pairs = pairs_of_one_size(real.image_nhw, real.person_n, images, _WASSERSTEIN_SLICES, seed)
    for phase, real_khw, made_khw in pairs:
        yield from _wasserstein(phase, "mr", real_khw, made_khw, seed)
    pairs = pairs_of_one_size(
        real.label_khw, real.labelled_person_k, labels, _WASSERSTEIN_SLICES, seed
    )
    for phase, real_khw, made_khw in pairs:
        for s, name in enumerate(structures):
            yield from _wasserstein(phase, name, real_khw == s + 1, made_khw == s + 1, seed)


def _wasserstein(
    phase: int, part: str, real_khw: npt.NDArray, made_khw: npt.NDArray, seed: int
) -> Iterator[QualityRow]:
    by_px = sliced_wasserstein(real_khw.astype(np.float32), made_khw.astype(np.float32), seed)
    for px, value in by_px.items():
        yield QualityRow(phase, f"sliced_wasserstein_{px}px", part, value, len(real_khw))


def variety_rows(sets: Sets, real: RealSlices, seed: int) -> Iterator[QualityRow]:
    """Precision, recall, density and coverage of the MR against all real slices."""
    images = {phase: made.image_khw[made.kept_k] for phase, made in sets.items()}
    chosen = some(len(real.image_nhw), 2 * _VARIETY_SLICES, np.random.default_rng(seed))
    embedding = embedding_of(real.image_nhw[chosen])
    pairs = pairs_of_one_size(real.image_nhw, real.person_n, images, _VARIETY_SLICES, seed)
    for phase, real_khw, made_khw in pairs:
        if len(real_khw) <= _NEIGHBOURS:
            continue
        found = variety(
            embedded(embedding, real_khw), embedded(embedding, made_khw), neighbours=_NEIGHBOURS
        )
        for name, value in vars(found).items():
            yield QualityRow(phase, name, "mr", value, len(real_khw))


def memorisation_rows(
    sets: Sets, real: RealSlices, seed: int, watch: Watch | None = None
) -> Iterator[QualityRow]:
    """Distance to the nearest real slice, beside that between people."""
    people = np.unique(real.person_n)
    if len(people) < 2:
        return
    random = np.random.default_rng(seed)
    audited = people[some(len(people), _AUDITED_PEOPLE, random)].tolist()
    real_n = distance_to_other_people(real.image_nhw, real.person_n.tolist(), audited, watch)
    for phase, made in sets.items():
        found: Audit = audit(made.score_k[made.kept_k], real_n)
        if phase == min(sets):
            for p, value in found.real_percentiles.items():
                yield QualityRow(0, f"nearest_distance_p{p:02d}", "mr", value, found.n_real)
        for p, value in found.made_percentiles.items():
            yield QualityRow(phase, f"nearest_distance_p{p:02d}", "mr", value, found.n_made)
        yield QualityRow(phase, "fraction_nearer", "mr", found.fraction_nearer, found.n_made)


def label_rows(
    sets: Sets,
    real: RealSlices,
    structures: Sequence[str],
    spacing_hw_mm: tuple[float, float],
    depth_mm: float,
) -> Iterator[QualityRow]:
    """Size and place of each structure, and overlap with the nearest labelled slice's labels."""
    n_structures = len(structures)
    true = shapes(real.label_khw, n_structures, spacing_hw_mm)
    for name, one in zip(structures, true, strict=True):
        yield from _shape_rows(0, name, one, depth_mm)
    for phase, made in sets.items():
        kept = made.kept()
        drawn = shapes(kept.label_khw, n_structures, spacing_hw_mm)
        for name, ours, theirs in zip(structures, drawn, true, strict=True):
            yield from _shape_rows(phase, name, ours, depth_mm)
            n = len(ours.area_mm2)
            yield QualityRow(phase, "area_distance_mm2", name, area_distance_mm2(theirs, ours), n)
            yield QualityRow(phase, "centroid_shift_mm", name, centroid_shift_mm(theirs, ours), n)
        paired = slice(0, _PAIRED_SLICES)
        near_k, _ = nearest(kept.image_khw[paired], real.labelled_khw)
        yield from _dice_rows(phase, structures, kept.label_khw[paired], real.label_khw[near_k])
    people = np.unique(real.labelled_person_k)
    if len(people) > 1:
        others = _labels_of_others(real, people[:_PAIRED_PEOPLE].tolist())
        yield from _dice_rows(0, structures, *others)


def _shape_rows(phase: int, name: str, one: Shapes, depth_mm: float) -> Iterator[QualityRow]:
    n = len(one.area_mm2)
    yield QualityRow(phase, "present_fraction", name, one.present_fraction, one.n_slices)
    yield QualityRow(phase, "volume_mm3", name, one.mean_area_mm2 * depth_mm, one.n_slices)
    for measure, values in (
        ("area_mm2", one.area_mm2),
        ("row_mm", one.row_mm),
        ("column_mm", one.column_mm),
    ):
        for p in _PERCENTILES:
            value = float(np.percentile(values, p)) if n else float("nan")
            yield QualityRow(phase, f"{measure}_p{p:02d}", name, value, n)


def _dice_rows(
    phase: int, structures: Sequence[str], label_khw: Labels, nearest_khw: Labels
) -> Iterator[QualityRow]:
    dice_ks = dice_of_pairs(label_khw, nearest_khw, len(structures))
    for name, dice_k in zip(structures, dice_ks.T, strict=True):
        there_m = dice_k[np.isfinite(dice_k)]
        value = float(there_m.mean()) if len(there_m) else float("nan")
        yield QualityRow(phase, "dice_with_nearest", name, value, len(there_m))


def _labels_of_others(real: RealSlices, people: Sequence[str]) -> tuple[Labels, Labels]:
    """Labels of some people's slices, and of the nearest slice of another labelled person."""
    own, other = [], []
    for person in people:
        own_k = real.labelled_person_k == person
        near, _ = nearest(real.labelled_khw[own_k], real.labelled_khw[~own_k])
        own.append(real.label_khw[own_k])
        other.append(real.label_khw[~own_k][near])
    return np.concatenate(own), np.concatenate(other)
