"""Folds, nested training sets and groups: who trains which model, and who tests it.

Pure Python, so that a login node can plan a run without numpy.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from gansfer.errors import UserError
from gansfer.seeds import seed_for
from gansfer.subjects import Subject


@dataclass(frozen=True)
class Fold:
    """One fold of the cross-validation.

    Attributes:
        index: 0-based number of the fold.
        train_ids: a seeded permutation of the labelled subjects that may be trained on; the first
            N of them are the training set of N labels, so a larger set contains the smaller.
        test_ids: labelled subjects that are only segmented.
    """

    index: int
    train_ids: tuple[str, ...]
    test_ids: tuple[str, ...]

    def training_set(self, n_labels: int) -> tuple[str, ...]:
        """Ids of the training set of `n_labels` labels (nested: III.D).

        Raises:
            UserError: the fold has fewer training subjects.
        """
        if not 1 <= n_labels <= len(self.train_ids):
            raise UserError(
                f"label count {n_labels}: fold {self.index} has {len(self.train_ids)} training "
                f"subjects; choose from 1 to {len(self.train_ids)}"
            )
        return self.train_ids[:n_labels]


def folds(labelled_ids: Sequence[str], n_folds: int, seed: int) -> tuple[Fold, ...]:
    """Divide the labelled subjects into folds of nearly equal test sets (III.D: 5 folds, 24/6).

    The result depends on the set of ids and the seed, not on the order of the ids.

    Args:
        labelled_ids: subjects with manual labels, each once.
        n_folds: number of folds.
        seed: the experiment's seed.

    Raises:
        UserError: an id is given twice, or there are fewer subjects than folds.
    """
    ids = sorted(labelled_ids)
    if len(set(ids)) != len(ids):
        raise UserError("labelled subjects: an id is given twice; give every subject its own id")
    if not 2 <= n_folds <= len(ids):
        raise UserError(
            f"folds: {n_folds} folds for {len(ids)} labelled subjects; choose from 2 to {len(ids)}"
        )
    order = list(ids)
    random.Random(seed_for(seed, "folds")).shuffle(order)
    test_sets = [tuple(sorted(part)) for part in _even_parts(order, n_folds)]
    result = []
    for index, test_ids in enumerate(test_sets):
        train_ids = [i for i in ids if i not in set(test_ids)]
        random.Random(seed_for(seed, "training order", index)).shuffle(train_ids)
        result.append(Fold(index, tuple(train_ids), test_ids))
    return tuple(result)


def n_groups(n_labels: int, group_size: int) -> int:
    """How many GANs share a training set of `n_labels` (III.D: groups of 6, so 1, 1, 1, 2, 4)."""
    if n_labels < 1 or group_size < 1:
        raise UserError(
            f"groups: {n_labels} labels in groups of {group_size}; both must be 1 or more"
        )
    return math.ceil(n_labels / group_size)


def groups(ids: Sequence[str], group_size: int) -> list[tuple[str, ...]]:
    """Split a training set into consecutive groups of at most `group_size`, as even as can be.

    Paper silent on numbers that are no multiple of the group; sizes then differ by at most one.
    """
    return [tuple(part) for part in _even_parts(list(ids), n_groups(len(ids), group_size))]


def analysis_fold(all_folds: Sequence[Fold], subjects: Sequence[Subject]) -> tuple[int, str]:
    """Choose the fold whose models segment the whole cohort (III.G), and say why.

    Of the folds whose training set has nobody with dementia (CDR above 0), the one of the lowest
    mean age; where every fold has somebody, the fewest come first. An unknown CDR counts as 0 (the
    young of OASIS-1 were never assessed), an unknown age is left out of the mean.

    Raises:
        UserError: a subject of a fold is not among `subjects`.
    """
    by_id = {subject.id: subject for subject in subjects}
    ranked: list[tuple[int, float, int]] = []
    for fold in all_folds:
        lost = [i for i in fold.train_ids if i not in by_id]
        if lost:
            raise UserError(
                f"fold {fold.index}: subject {lost[0]} is not in the cohort's table; "
                "prepare the cohort again"
            )
        members = [by_id[i] for i in fold.train_ids]
        n_demented = sum((member.cdr or 0) > 0 for member in members)
        ages = [member.age_years for member in members if member.age_years is not None]
        mean_age_years = sum(ages) / len(ages) if ages else math.inf
        ranked.append((n_demented, mean_age_years, fold.index))
    n_demented, mean_age_years, index = min(ranked)
    age = f"{mean_age_years:.1f} years" if math.isfinite(mean_age_years) else "unknown"
    n_tied = sum(row[0] == n_demented for row in ranked)
    if n_demented:
        why = (
            f"every fold that is run trains on somebody with CDR above 0; fold {index} has the "
            f"fewest ({n_demented}; {n_tied} such folds) and the lowest mean age of those ({age})"
        )
    else:
        why = (
            f"the training set of fold {index} has nobody with CDR above 0 ({n_tied} such folds) "
            f"and the lowest mean age among those ({age})"
        )
    return index, why


def _even_parts(items: Sequence[str], n_parts: int) -> list[Sequence[str]]:
    """Consecutive parts whose sizes differ by at most one, larger ones first."""
    size, n_larger = divmod(len(items), n_parts)
    parts, start = [], 0
    for part in range(n_parts):
        stop = start + size + (part < n_larger)
        parts.append(items[start:stop])
        start = stop
    return parts
