"""The built-in cohort: plausible, reproducible, and different with age and CDR."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from gansfer.errors import UserError
from gansfer.phantom.individual import draw_individual
from gansfer.phantom.phantom_source import PhantomSource, field_of_view, scan
from gansfer.settings import RoiSettings
from gansfer.structures import PAPER_STRUCTURES
from gansfer.subjects import RawSubject, Subject

ROI_2MM = RoiSettings(voxel_mm=2.0)
# Both sides, young adults: textbook volumes.
YOUNG_VOLUMES_MM3 = {
    "accumbens": 1000,
    "amygdala": 2000,
    "caudate": 7000,
    "hippocampus": 7500,
    "pallidum": 3000,
    "putamen": 9500,
    "thalamus": 16000,
}
# Right-hand centres in Talairach-like millimetres, as an atlas has them, within 4 mm.
CENTRES_MM = {
    "accumbens": (9, 11, -4),
    "amygdala": (22, -5, -16),
    "caudate": (12, 8, 12),
    "hippocampus": (26, -20, -10),
    "pallidum": (18, -4, 1),
    "putamen": (24, 1, 3),
    "thalamus": (11, -18, 8),
}


def source(
    n_labelled: int = 2,
    n_unlabelled: int = 2,
    *,
    seed: int = 1,
    roi: RoiSettings = ROI_2MM,
    structures: tuple[str, ...] = PAPER_STRUCTURES,
) -> PhantomSource:
    return PhantomSource(n_labelled, n_unlabelled, seed=seed, roi=roi, structures=structures)


def at_age(seed: int, age_years: float, cdr: float) -> tuple[np.ndarray, np.ndarray]:
    """One subject of a given age and CDR: image relative to white matter, and true labels."""
    individual = draw_individual(np.random.default_rng(seed), age_years, cdr)
    axes_mm, _ = field_of_view(ROI_2MM)
    image, label, _ = scan(individual, axes_mm, 2.0, np.random.default_rng(0))
    return image / individual.white_matter, label


def given(array: np.ndarray | None) -> np.ndarray:
    """An array that a phantom subject has and a subject of another source may lack."""
    assert array is not None
    return array


def volume_mm3(label: np.ndarray, structure: str) -> float:
    return 8.0 * np.count_nonzero(label == PAPER_STRUCTURES.index(structure) + 1)


@pytest.fixture(scope="module")
def labelled() -> list[RawSubject]:
    people = source(6, 0)
    return [people.load(subject.id) for subject in people.subjects()]


def load_bytes(subject_id: str) -> bytes:
    raw = source().load(subject_id)
    return raw.image.array_xyz.tobytes() + given(raw.reference).tobytes()


def test_same_bytes_in_any_order_and_any_process() -> None:
    ids = [subject.id for subject in source().subjects()]
    here = {subject_id: load_bytes(subject_id) for subject_id in ids}
    assert {subject_id: load_bytes(subject_id) for subject_id in reversed(ids)} == here
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert dict(zip(ids, pool.map(load_bytes, ids), strict=True)) == here
    assert len(set(here.values())) == len(ids)
    other = source(seed=2).load(ids[0]).image.array_xyz
    assert other.tobytes() + given(source(seed=2).load(ids[0]).reference).tobytes() != here[ids[0]]


def test_anatomy_does_not_depend_on_voxel_size_or_region() -> None:
    small_roi = RoiSettings(voxel_mm=2.0, size_mm=(40.0, 40.0, 20.0))
    large = given(source().load("phantom-0001").reference)
    small = given(source(roi=small_roi).load("phantom-0001").reference)
    offset = [(a - b) // 2 for a, b in zip(large.shape, small.shape, strict=True)]
    inside = tuple(slice(o, o + n) for o, n in zip(offset, small.shape, strict=True))
    assert np.array_equal(large[inside], small)
    for roi, smaller in ((RoiSettings(voxel_mm=1.0), 8), (RoiSettings(voxel_mm=2, slice_mm=1), 2)):
        fine = given(source(roi=roi).load("phantom-0001").reference)
        for structure in PAPER_STRUCTURES:
            value = PAPER_STRUCTURES.index(structure) + 1
            ratio = np.count_nonzero(fine == value) / (smaller * np.count_nonzero(large == value))
            assert 0.85 < ratio < 1.15, structure


@pytest.mark.parametrize("roi", [RoiSettings(voxel_mm=4), RoiSettings(voxel_mm=4, slice_mm=2)])
def test_region_lies_on_voxels(roi: RoiSettings) -> None:
    raw = source(roi=roi).load("phantom-0001")
    for axis, voxel_mm in enumerate(roi.spacing_xyz_mm):
        first_mm = roi.centre_mm[axis] - roi.size_mm[axis] / 2 + voxel_mm / 2
        index = (first_mm - raw.image.affine_ras[axis, 3]) / voxel_mm
        assert index == pytest.approx(round(index), abs=1e-9)
        n_voxels = round(roi.size_mm[axis] / voxel_mm)
        assert raw.image.array_xyz.shape[axis] == n_voxels + 2 * round(index)
        assert round(index) > 0
    assert np.array_equal(raw.image.affine_ras[:3, :3], np.diag(roi.spacing_xyz_mm))
    assert set(np.unique(given(raw.reference))) == set(range(8))


def test_volumes_and_places_are_plausible(labelled: list[RawSubject]) -> None:
    for value, structure in enumerate(PAPER_STRUCTURES, start=1):
        volumes, centroids = [], []
        for raw in labelled:
            voxels = np.argwhere(given(raw.reference) == value)
            points = voxels * 2.0 + raw.image.affine_ras[:3, 3]
            volumes.append(8.0 * len(voxels))
            assert 0.5 < volumes[-1] / YOUNG_VOLUMES_MM3[structure] < 1.5, structure
            right, left = points[points[:, 0] > 0], points[points[:, 0] < 0]
            assert 0.55 < len(right) / len(left) < 1 / 0.55, structure
            centroids += [right.mean(0), left.mean(0) * [-1, 1, 1]]
        assert np.mean(volumes) == pytest.approx(YOUNG_VOLUMES_MM3[structure], rel=0.2), structure
        assert np.allclose(np.mean(centroids, 0), CENTRES_MM[structure], atol=4.0), structure
        assert np.std(volumes) > 0.02 * np.mean(volumes)


def test_structures_fit_the_region(labelled: list[RawSubject]) -> None:
    axes_mm, _ = field_of_view(ROI_2MM)
    for raw in labelled:
        for axis in range(3):
            at_mm = axes_mm[axis][np.nonzero(given(raw.reference))[axis]]
            half = ROI_2MM.size_mm[axis] / 2
            assert abs(at_mm - ROI_2MM.centre_mm[axis]).max() < half


def test_contrast_is_that_of_t1(labelled: list[RawSubject]) -> None:
    raw = labelled[0]
    image = given(raw.image.array_xyz)
    white = np.median(image[given(raw.white_matter_mask)])
    mean = {
        structure: image[given(raw.reference) == k].mean() / white
        for k, structure in enumerate(PAPER_STRUCTURES, start=1)
    }
    assert mean["hippocampus"] < mean["putamen"] < mean["pallidum"] < 1.05
    assert mean["caudate"] < mean["thalamus"] < mean["pallidum"]
    assert 0.55 < mean["amygdala"] < 0.75
    assert np.percentile(image[given(raw.brain_mask)], 0.5) / white < 0.4  # cerebrospinal fluid


def test_image_is_positive_inside_the_brain_and_zero_outside(labelled: list[RawSubject]) -> None:
    for raw in labelled:
        image = given(raw.image.array_xyz)
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        assert np.array_equal(image > 0, given(raw.brain_mask))
        assert (image[~given(raw.brain_mask)] == 0).all()
        assert 0.6 < given(raw.brain_mask).mean() < 1.0
        assert not (given(raw.reference)[~given(raw.brain_mask)] > 0).any()
        assert not (given(raw.white_matter_mask) & (given(raw.reference) > 0)).any()


def test_age_and_cdr_widen_ventricles_and_shrink_hippocampus_and_amygdala() -> None:
    for seed in (0, 1, 2):
        groups = [at_age(seed, 22.0, 0.0), at_age(seed, 80.0, 0.0), at_age(seed, 80.0, 1.0)]
        middle = (slice(18, 38), slice(18, 48), slice(20, 40))  # of the field of view
        fluid = [np.count_nonzero(image[middle] < 0.45) for image, _ in groups]
        assert fluid[0] * 1.3 < fluid[1] < fluid[2], seed
        for structure in ("hippocampus", "amygdala"):
            sizes = [volume_mm3(label, structure) for _, label in groups]
            assert sizes[0] > 1.02 * sizes[1], structure
            assert sizes[1] > 1.1 * sizes[2], structure


def test_wide_ventricles_push_the_caudate_outward() -> None:
    axes_mm, _ = field_of_view(ROI_2MM)
    caudate = PAPER_STRUCTURES.index("caudate") + 1
    lateral = [
        abs(axes_mm[0][np.nonzero(at_age(0, age, cdr)[1] == caudate)[0]]).mean()
        for age, cdr in ((22.0, 0.0), (85.0, 1.0))
    ]
    assert lateral[1] > lateral[0] + 2.0


def test_structures_have_the_right_neighbours(labelled: list[RawSubject]) -> None:
    for raw in labelled:
        places = {}
        for value, name in enumerate(PAPER_STRUCTURES, start=1):
            at = np.argwhere(given(raw.reference) == value) * 2.0 + raw.image.affine_ras[:3, 3]
            places[name] = np.abs(at[:, 0]), at[:, 1], at[:, 2]
        lateral, forward, up = (
            {name: line[axis].mean() for name, line in places.items()} for axis in range(3)
        )
        assert lateral["putamen"] > lateral["pallidum"] + 3 > lateral["thalamus"] + 6
        assert up["accumbens"] < up["caudate"] - 8
        assert forward["amygdala"] > forward["hippocampus"] + 8
        assert np.percentile(places["thalamus"][0], 1) < 4.0  # at the third ventricle
        image = given(raw.image.array_xyz)
        dark = image < 0.5 * np.median(image[given(raw.white_matter_mask)])
        caudate = given(raw.reference) == PAPER_STRUCTURES.index("caudate") + 1
        beside = np.asarray(binary_dilation(dark & given(raw.brain_mask), iterations=2)) & caudate
        assert beside.sum() > 0.25 * caudate.sum()  # along the lateral ventricle


def test_only_labelled_subjects_have_labels() -> None:
    people = source(2, 2)
    for subject in people.subjects():
        raw = people.load(subject.id)
        assert raw.subject == subject
        assert raw.in_common_space
        assert raw.reference is not None
        assert (raw.label is not None) == subject.labelled
        assert (raw.white_matter_mask is not None) == subject.labelled
        if subject.labelled:
            assert np.array_equal(given(raw.label), given(raw.reference))


def ages_of(subjects: list[Subject]) -> list[float]:
    ages = [s.age_years for s in subjects if s.age_years is not None]
    assert len(ages) == len(subjects)
    return ages


def test_ages_and_cdr() -> None:
    subjects = source(30, 200).subjects()
    assert [s.id for s in subjects[:2]] == ["phantom-0001", "phantom-0002"]
    assert len({s.id for s in subjects}) == 230
    assert all(s.in_pool for s in subjects)
    labelled = [s for s in subjects if s.labelled]
    assert len(labelled) == 30
    assert all(s.cdr == 0 for s in labelled)
    assert sum(18 <= age <= 34 for age in ages_of(labelled)) == 27
    assert sum(35 <= age <= 59 for age in ages_of(labelled)) == 3
    pool = [s for s in subjects if not s.labelled]
    ages = np.array(ages_of(pool))
    assert ages.min() >= 18
    assert 88 <= ages.max() <= 96
    assert 40 < np.median(ages) < 60
    assert [sum(s.cdr == c for s in pool) for c in (0.5, 1.0, 2.0)] == [32, 13, 1]
    assert min(ages_of([s for s in pool if s.cdr])) >= 62


@pytest.mark.parametrize("n_unlabelled", [20, 40])
def test_small_cohorts_have_some_of_each_group(n_unlabelled: int) -> None:
    cdrs = [s.cdr for s in source(1, n_unlabelled).subjects() if not s.labelled]
    assert len(cdrs) == n_unlabelled
    assert cdrs.count(0.5) == max(2, round(n_unlabelled * 70 / 436))
    assert cdrs.count(1.0) >= 2
    assert cdrs.count(2.0) == 1


def test_subset_of_structures_in_another_order() -> None:
    all_seven = given(source().load("phantom-0001").reference)
    two = given(source(structures=("thalamus", "caudate")).load("phantom-0001").reference)
    assert np.array_equal(two == 1, all_seven == PAPER_STRUCTURES.index("thalamus") + 1)
    assert np.array_equal(two == 2, all_seven == PAPER_STRUCTURES.index("caudate") + 1)
    assert two.max() == 2


def test_unknown_structure() -> None:
    with pytest.raises(UserError, match="no claustrum; choose from accumbens, amygdala"):
        source(structures=("caudate", "claustrum"))


def test_unknown_subject() -> None:
    with pytest.raises(UserError, match="phantom-0009: not in the built-in cohort of 4"):
        source().load("phantom-0009")
