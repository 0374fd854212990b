"""Demographics of the built-in cohort: ages and CDR in the proportions of OASIS-1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gansfer.seeds import seed_for
from gansfer.subjects import Subject

# OASIS-1: sessions by CDR, of 436.
CDR_COUNTS = {0.5: 70, 1.0: 28, 2.0: 2}
N_OASIS = 436
# How few of each there are in a cohort of at least `ENOUGH` (groups are to be compared).
CDR_LEAST = {0.5: 2, 1.0: 2, 2.0: 1}
ENOUGH = 20
# OASIS-1: ages, and the share of subjects below each.
HEALTHY_AGES = (
    (18, 23, 26, 31, 35, 41, 51, 61, 66, 71, 76, 81, 86, 91, 97),
    (0, 95, 134, 161, 169, 176, 210, 240, 253, 266, 292, 304, 317, 333, 336),
)
DEMENTED_AGES = ((62, 66, 71, 76, 81, 86, 91, 97), (0, 5, 19, 45, 71, 88, 97, 100))
YOUNG_AGES = ((18, 23, 26, 31, 35), (0, 95, 134, 161, 169))
OLDER_AGES = ((35, 60), (0, 1))
OLDER_EVERY = 10  # one labelled subject in this many is 35 to 59


def cdr_counts(n_unlabelled: int) -> dict[float, int]:
    """How many unlabelled subjects have each CDR above 0: about OASIS-1's shares.

    Args:
        n_unlabelled: subjects in all; from 20 on each group has its least number.
    """
    counts = {}
    for cdr, count in CDR_COUNTS.items():
        counts[cdr] = round(n_unlabelled * count / N_OASIS)
        if n_unlabelled >= ENOUGH:
            counts[cdr] = max(counts[cdr], CDR_LEAST[cdr])
    return counts


def _ages(
    rng: np.random.Generator, n: int, distribution: tuple[tuple[int, ...], tuple[int, ...]]
) -> npt.NDArray[np.int_]:
    """Whole years, spread evenly over a distribution, in random order."""
    ages, below = distribution
    share = (np.arange(n) + rng.uniform(0.0, 1.0, n)) / max(n, 1)
    years = np.floor(np.interp(share, np.asarray(below) / below[-1], ages)).astype(int)
    return rng.permutation(np.minimum(years, ages[-1] - 1))


def draw_subjects(n_labelled: int, n_unlabelled: int, *, seed: int) -> list[Subject]:
    """Ages, sexes and CDRs: labelled subjects are young and healthy, unlabelled ones as in OASIS-1.

    Args:
        n_labelled: with labels: 18 to 34 years, one in ten 35 to 59; CDR 0.
        n_unlabelled: without: 18 to 96 years, CDR 0 to 2.
        seed: of the cohort.
    """
    rng = np.random.default_rng(seed_for(seed, "phantom-people", n_labelled, n_unlabelled))
    n_older = n_labelled // OLDER_EVERY
    young = _ages(rng, n_labelled - n_older, YOUNG_AGES)
    older = _ages(rng, n_older, OLDER_AGES)
    labelled_ages = rng.permutation(np.concatenate([young, older]))
    counts = cdr_counts(n_unlabelled)
    n_demented = sum(counts.values())
    cdrs = np.concatenate(
        [np.zeros(n_unlabelled - n_demented), *(np.full(n, cdr) for cdr, n in counts.items())]
    )
    ages = np.concatenate(
        [_ages(rng, n_unlabelled - n_demented, HEALTHY_AGES), _ages(rng, n_demented, DEMENTED_AGES)]
    )
    order = rng.permutation(n_unlabelled)
    all_ages = np.concatenate([labelled_ages, ages[order]])
    all_cdrs = np.concatenate([np.zeros(n_labelled), cdrs[order]])
    female = rng.uniform(size=all_ages.size) < 0.6
    return [
        Subject(
            id=f"phantom-{k + 1:04d}",
            age_years=float(all_ages[k]),
            sex="F" if female[k] else "M",
            cdr=float(all_cdrs[k]),
            labelled=k < n_labelled,
            in_pool=True,
        )
        for k in range(all_ages.size)
    ]
