"""Folds, nested training sets, groups and the analysis fold."""

import subprocess
import sys
from itertools import pairwise

import pytest

from gansfer.cohort.splits import Fold, analysis_fold, folds, groups, n_groups
from gansfer.errors import UserError
from gansfer.subjects import Subject

IDS = [f"{i}" for i in range(1000, 1030)]


def test_thirty_subjects_make_five_folds_of_24_and_6() -> None:
    made = folds(IDS, 5, seed=0)
    assert [fold.index for fold in made] == [0, 1, 2, 3, 4]
    for fold in made:
        assert len(fold.train_ids) == 24
        assert len(fold.test_ids) == 6
        assert set(fold.train_ids) | set(fold.test_ids) == set(IDS)
        assert not set(fold.train_ids) & set(fold.test_ids)
    tested = [i for fold in made for i in fold.test_ids]
    assert sorted(tested) == sorted(IDS)


def test_uneven_numbers_still_test_everybody_once() -> None:
    made = folds(IDS[:12], 5, seed=3)
    assert [len(fold.test_ids) for fold in made] == [3, 3, 2, 2, 2]
    assert sorted(i for fold in made for i in fold.test_ids) == IDS[:12]


def test_folds_depend_on_seed_and_ids_but_not_on_their_order() -> None:
    assert folds(IDS, 5, seed=1) == folds(IDS[::-1], 5, seed=1)
    assert folds(IDS, 5, seed=1) != folds(IDS, 5, seed=2)


def test_folds_are_the_same_on_every_machine_and_version() -> None:
    first = folds(["a", "b", "c", "d", "e", "f"], 3, seed=0)[0]
    assert (first.train_ids, first.test_ids) == EXPECTED_FIRST


EXPECTED_FIRST = (("d", "c", "f", "e"), ("a", "b"))


def test_training_order_is_shuffled_and_differs_between_folds() -> None:
    made = folds(IDS, 5, seed=0)
    assert all(list(fold.train_ids) != sorted(fold.train_ids) for fold in made)
    shared = set(made[0].train_ids) & set(made[1].train_ids)
    order = [[i for i in fold.train_ids if i in shared] for fold in made[:2]]
    assert order[0] != order[1]


def test_training_sets_are_nested() -> None:
    fold = folds(IDS, 5, seed=0)[2]
    sets = [fold.training_set(n) for n in (1, 3, 6, 12, 24)]
    for smaller, larger in pairwise(sets):
        assert larger[: len(smaller)] == smaller
    assert sets[-1] == fold.train_ids


def test_training_set_beyond_the_fold_is_refused() -> None:
    fold = Fold(1, ("a", "b"), ("c",))
    with pytest.raises(UserError, match="label count 3: fold 1 has 2 training subjects"):
        fold.training_set(3)
    with pytest.raises(UserError, match="label count 0"):
        fold.training_set(0)


@pytest.mark.parametrize(
    ("n_labels", "expected"), [(1, 1), (3, 1), (6, 1), (7, 2), (12, 2), (24, 4)]
)
def test_number_of_groups(n_labels: int, expected: int) -> None:
    assert n_groups(n_labels, 6) == expected
    made = groups(IDS[:n_labels], 6)
    assert len(made) == expected
    assert [i for group in made for i in group] == IDS[:n_labels]
    assert max(map(len, made)) - min(map(len, made)) <= 1


def test_no_repeated_id_and_enough_subjects() -> None:
    with pytest.raises(UserError, match="given twice"):
        folds(["a", "a", "b"], 2, seed=0)
    with pytest.raises(UserError, match="5 folds for 3 labelled subjects; choose from 2 to 3"):
        folds(["a", "b", "c"], 5, seed=0)


def subject(i: str, age: float | None, cdr: float | None = 0.0) -> Subject:
    return Subject(i, age_years=age, cdr=cdr, labelled=True)


def test_analysis_fold_avoids_dementia_before_it_looks_at_age() -> None:
    people = [subject("a", 20, 0.5), subject("b", 30), subject("c", 80), subject("d", 40, None)]
    made = [
        Fold(0, ("a", "b"), ("c", "d")),  # youngest, but has the demented
        Fold(1, ("b", "c"), ("a", "d")),  # 55 years
        Fold(2, ("b", "d"), ("a", "c")),  # 35 years
    ]
    index, why = analysis_fold(made, people)
    assert index == 2
    assert why == (
        "the training set of fold 2 has nobody with CDR above 0 (2 such folds) "
        "and the lowest mean age among those (35.0 years)"
    )


def test_analysis_fold_where_every_fold_has_dementia() -> None:
    people = [subject("a", 20, 1), subject("b", 30, 0.5), subject("c", 80), subject("d", None)]
    made = [Fold(0, ("a", "b"), ("c",)), Fold(1, ("a", "c"), ("b",)), Fold(2, ("b", "d"), ("a",))]
    index, why = analysis_fold(made, people)
    assert index == 2
    assert "every fold that is run trains on somebody with CDR above 0" in why


def test_analysis_fold_of_an_unknown_subject_is_refused() -> None:
    with pytest.raises(UserError, match="subject b is not in the cohort's table"):
        analysis_fold([Fold(0, ("b",), ("a",))], [subject("a", 20)])


def test_login_node_needs_no_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = sys.modules['h5py'] = sys.modules['torch'] = None\n"
        "import gansfer.cohort.splits, gansfer.cohort.table, gansfer.subjects"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
