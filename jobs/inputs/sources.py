"""From the experiment's cohort section to the reader of its files."""

from __future__ import annotations

from pathlib import Path

from gansfer.phantom.phantom_source import PhantomSource
from gansfer.readers.bids import Derivative, list_bids
from gansfer.readers.challenge import ChallengeSource
from gansfer.readers.combined import CombinedSource
from gansfer.readers.folder import list_folder
from gansfer.readers.listed import ListedSource
from gansfer.readers.oasis import OasisSource
from gansfer.readers.protocols import LabelProtocol
from gansfer.readers.references import ReferenceFolder
from gansfer.subjects import FileSource, Source
from jobs.experiment.cohort_section import (
    BidsImages,
    BidsLabels,
    BidsReferences,
    ChallengeLabels,
    CohortSpec,
    FolderImages,
    FolderReferences,
    OasisImages,
    PhantomImages,
    TableLabels,
    TableReferences,
)
from jobs.experiment.model import Experiment


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
    return make_file_source(cohort)


def make_file_source(cohort: CohortSpec) -> FileSource:
    """The reader of files that the cohort section asks for.

    Raises:
        UserError: a folder is missing, or a protocol lacks a structure.
    """
    images, references = cohort.images, _reference_folder(cohort)
    own: FileSource
    if isinstance(images, FolderImages):
        listing = list_folder(
            Path(images.folder),
            Path(images.table),
            _table_protocol(cohort, cohort.labels),
            _table_protocol(cohort, cohort.references),
            resample_labels=isinstance(cohort.labels, TableLabels) and cohort.labels.resample,
            resample_references=isinstance(cohort.references, TableReferences)
            and cohort.references.resample,
            template=None if images.template is None else Path(images.template),
        )
        own = ListedSource(listing, in_common_space=images.in_common_space, references=references)
    elif isinstance(images, BidsImages):
        listing = list_bids(
            Path(images.folder),
            pattern=images.pattern,
            masks=Derivative(Path(images.masks), images.mask_pattern) if images.masks else None,
            labels=_derivative(cohort, cohort.labels),
            references=_derivative(cohort, cohort.references),
        )
        own = ListedSource(listing, in_common_space=images.in_common_space, references=references)
    else:
        assert isinstance(images, OasisImages)
        own = OasisSource(Path(images.discs), Path(images.table))
    if not isinstance(cohort.labels, ChallengeLabels):
        return own
    labels = ChallengeSource(Path(cohort.labels.folder), cohort.structures, cohort.labels.protocol)
    # A listing measures against its own references already.
    return CombinedSource(own, labels, references if isinstance(images, OasisImages) else None)


def _reference_folder(cohort: CohortSpec) -> ReferenceFolder | None:
    given = cohort.references
    if not isinstance(given, FolderReferences):
        return None
    return ReferenceFolder(
        Path(given.folder),
        cohort.structures,
        given.protocol,
        given.pattern,
        resample=given.resample,
    )


def _table_protocol(cohort: CohortSpec, given: object) -> LabelProtocol | None:
    if not isinstance(given, TableLabels | TableReferences):
        return None
    key = "cohort.labels" if isinstance(given, TableLabels) else "cohort.references"
    return LabelProtocol.named(f"{key}.protocol", given.protocol, cohort.structures)


def _derivative(cohort: CohortSpec, given: object) -> Derivative | None:
    if not isinstance(given, BidsLabels | BidsReferences):
        return None
    protocol = None
    if given.protocol is not None:
        protocol = LabelProtocol.named(given.folder, given.protocol, cohort.structures)
    return Derivative(
        Path(given.folder), given.pattern, protocol, cohort.structures, given.resample
    )
