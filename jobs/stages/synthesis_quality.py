"""How good a cell's synthetic slices are: `quality.csv`, tidy, and the nearest pairs pictured.

Columns: `phase` (0: real slices against real ones of other people, the mark to be judged by),
`measure`, `part` (channel or structure, or empty), `value`, `n`. Not a product, as the pictures.

Legend: K slices of a set, S structures, H W rows and columns.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from gansfer.atomic import write_text
from gansfer.drawing.slices import slice_table
from gansfer.progress import StopRequested
from gansfer.quality.distribution import embedded, embedding_of, sliced_wasserstein, variety
from gansfer.quality.memorisation import Audit, audit, distance_to_other_people
from gansfer.quality.plausibility import (
    Shapes,
    area_distance_mm2,
    centroid_shift_mm,
    dice_of_pairs,
    shapes,
)
from gansfer.synthesis.neighbours import nearest
from jobs.stages.context import Context
from jobs.stages.quality_sets import RealSlices, pairs_of_one_size, real_slices, some
from jobs.stages.synthesis_pictures import Sets

Labels = npt.NDArray[np.uint8]

_WASSERSTEIN_SLICES = 256
_VARIETY_SLICES = 1000
_PAIRED_SLICES = 500
_AUDITED_PEOPLE = 20
_PAIRED_PEOPLE = 8
_PAIRS_SHOWN = 8
_NEIGHBOURS = 5


@dataclass(frozen=True)
class QualityRow:
    """One number; see the columns above."""

    phase: int
    measure: str
    part: str
    value: float
    n: int


def write_quality(context: Context, sets: Sets) -> None:
    """Measure the kept slices of each phase, write `quality.csv` and `nearest.png`.

    Args:
        context: a task of the stage `synthesise`.
        sets: of `read_sets`.

    Raises:
        StopRequested: the watch asked to stop.
    """
    real = real_slices(context)
    rows: list[QualityRow] = []
    for measure in (_wasserstein_rows, _variety_rows, _memorisation_rows, _label_rows):
        if context.watch.stopping():
            raise StopRequested
        context.watch.report(0, 1, "measures", measure.__name__.strip("_"))
        rows += measure(context, sets, real)
    _draw_nearest(context, sets, real)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("phase", "measure", "part", "value", "n"))
    for row in rows:
        phase, name, part, value, n = astuple(row)
        writer.writerow((phase, name, part, f"{value:.6g}" if np.isfinite(value) else "", n))
    write_text(context.files.quality, text.getvalue())


def _wasserstein_rows(context: Context, sets: Sets, real: RealSlices) -> Iterator[QualityRow]:
    """Per channel: the MR against all real slices, label channels against labelled ones.

    A label channel is the structure's mask, as a segmenter is given it.
    """
    seed = context.seed_for("quality", "wasserstein")
    images = {phase: made.image_khw[made.kept_k] for phase, made in sets.items()}
    labels = {phase: made.label_khw[made.kept_k] for phase, made in sets.items()}
    pairs = pairs_of_one_size(real.image_nhw, real.person_n, images, _WASSERSTEIN_SLICES, seed)
    for phase, real_khw, made_khw in pairs:
        yield from _wasserstein(phase, "mr", real_khw, made_khw, seed)
    pairs = pairs_of_one_size(
        real.label_khw, real.labelled_person_k, labels, _WASSERSTEIN_SLICES, seed
    )
    for phase, real_khw, made_khw in pairs:
        for s, name in enumerate(context.cohort.structures):
            yield from _wasserstein(phase, name, real_khw == s + 1, made_khw == s + 1, seed)


def _wasserstein(
    phase: int, part: str, real_khw: npt.NDArray, made_khw: npt.NDArray, seed: int
) -> Iterator[QualityRow]:
    by_px = sliced_wasserstein(real_khw.astype(np.float32), made_khw.astype(np.float32), seed)
    for px, value in by_px.items():
        yield QualityRow(phase, f"sliced_wasserstein_{px}px", part, value, len(real_khw))


def _variety_rows(context: Context, sets: Sets, real: RealSlices) -> Iterator[QualityRow]:
    """Precision, recall, density and coverage of the MR against all real slices."""
    seed = context.seed_for("quality", "variety")
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


def _memorisation_rows(context: Context, sets: Sets, real: RealSlices) -> Iterator[QualityRow]:
    """Distance to the nearest real slice, beside that between people."""
    people = np.unique(real.person_n)
    if len(people) < 2:
        return
    random = np.random.default_rng(context.seed_for("quality", "people"))
    audited = people[some(len(people), _AUDITED_PEOPLE, random)].tolist()
    real_n = distance_to_other_people(
        real.image_nhw, real.person_n.tolist(), audited, context.watch
    )
    for phase, made in sets.items():
        found: Audit = audit(made.score_k[made.kept_k], real_n)
        if phase == min(sets):
            for p, value in found.real_percentiles.items():
                yield QualityRow(0, f"nearest_distance_p{p:02d}", "mr", value, found.n_real)
        for p, value in found.made_percentiles.items():
            yield QualityRow(phase, f"nearest_distance_p{p:02d}", "mr", value, found.n_made)
        yield QualityRow(phase, "fraction_nearer", "mr", found.fraction_nearer, found.n_made)


def _label_rows(context: Context, sets: Sets, real: RealSlices) -> Iterator[QualityRow]:
    """Size and place of each structure, and overlap with the nearest labelled slice's labels."""
    names = context.cohort.structures
    z_mm, h_mm, w_mm = context.cohort.spacing_zhw_mm
    depth_mm = z_mm * context.cohort.shape_zhw[0]
    true = shapes(real.label_khw, len(names), (h_mm, w_mm))
    for name, one in zip(names, true, strict=True):
        yield from _shape_rows(0, name, one, depth_mm)
    for phase, made in sets.items():
        kept = made.kept()
        drawn = shapes(kept.label_khw, len(names), (h_mm, w_mm))
        for name, ours, theirs in zip(names, drawn, true, strict=True):
            yield from _shape_rows(phase, name, ours, depth_mm)
            n = len(ours.area_mm2)
            yield QualityRow(phase, "area_distance_mm2", name, area_distance_mm2(theirs, ours), n)
            yield QualityRow(phase, "centroid_shift_mm", name, centroid_shift_mm(theirs, ours), n)
        some = slice(0, _PAIRED_SLICES)
        near_k, _ = nearest(kept.image_khw[some], real.labelled_khw)
        yield from _dice_rows(phase, names, kept.label_khw[some], real.label_khw[near_k])
    people = np.unique(real.labelled_person_k)
    if len(people) > 1:
        yield from _dice_rows(0, names, *_labels_of_others(real, people[:_PAIRED_PEOPLE].tolist()))


def _shape_rows(phase: int, name: str, one: Shapes, depth_mm: float) -> Iterator[QualityRow]:
    n = len(one.area_mm2)
    yield QualityRow(phase, "present_fraction", name, one.present_fraction, one.n_slices)
    yield QualityRow(phase, "volume_mm3", name, one.mean_area_mm2 * depth_mm, one.n_slices)
    for measure, values in (
        ("area_mm2", one.area_mm2),
        ("row_mm", one.row_mm),
        ("column_mm", one.column_mm),
    ):
        for p in (5, 25, 50, 75, 95):
            value = float(np.percentile(values, p)) if n else float("nan")
            yield QualityRow(phase, f"{measure}_p{p:02d}", name, value, n)


def _dice_rows(
    phase: int, names: Sequence[str], label_khw: Labels, nearest_khw: Labels
) -> Iterator[QualityRow]:
    dice_ks = dice_of_pairs(label_khw, nearest_khw, len(names))
    for name, dice_k in zip(names, dice_ks.T, strict=True):
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


def _draw_nearest(context: Context, sets: Sets, real: RealSlices) -> None:
    """The generated slices that are nearest to a real one, each above it, after each phase."""
    images, titles, texts = [], [], []
    shown = min(_PAIRS_SHOWN, *(int(made.kept_k.sum()) for made in sets.values()))
    for phase, made in sets.items():
        order = np.argsort(np.where(made.kept_k, made.score_k, np.inf), kind="stable")[:shown]
        near, distance = nearest(made.image_khw[order], real.image_nhw)
        images += [made.image_khw[order].astype(np.float32), real.image_nhw[near]]
        titles += [f"phase {phase}", f"nearest real\nat {distance[0]:.1f} to {distance[-1]:.1f}"]
        texts = [f"{place + 1}" for place in range(shown)]
    slice_table(
        context.files.picture("nearest"),
        np.stack(images),
        None,
        (),
        f"The {shown} generated slices nearest to a real one, and that one",
        row_titles=titles,
        column_titles=texts,
        also_pdf=True,
    )
