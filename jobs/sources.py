"""From the experiment's cohort section to the reader of its files."""

from __future__ import annotations

from pathlib import Path

from gansfer.cohort.challenge import ChallengeSource
from gansfer.cohort.combined import CombinedSource
from gansfer.cohort.oasis import OasisSource
from gansfer.cohort.phantom import PhantomSource
from gansfer.cohort.references import ReferenceFolder
from gansfer.cohort.subjects import Source
from jobs.spec import ChallengeLabels, Experiment, FolderReferences, PhantomImages


def make_source(experiment: Experiment) -> Source:
    """The reader that the cohort section asks for.

    Raises:
        UserError: a folder or table is missing, or a protocol lacks a structure.
    """
    cohort = experiment.cohort
    if isinstance(cohort.images, PhantomImages):
        return PhantomSource(
            cohort.images.labelled,
            cohort.images.unlabelled,
            seed=experiment.seed,
            roi=cohort.roi,
            structures=cohort.structures,
        )
    assert isinstance(cohort.labels, ChallengeLabels)  # the spec's validator saw to it
    references = None
    if isinstance(cohort.references, FolderReferences):
        references = ReferenceFolder(
            Path(cohort.references.folder),
            cohort.structures,
            cohort.references.protocol,
            cohort.references.pattern,
        )
    return CombinedSource(
        OasisSource(Path(cohort.images.discs), Path(cohort.images.table)),
        ChallengeSource(Path(cohort.labels.folder), cohort.structures, cohort.labels.protocol),
        references,
    )
