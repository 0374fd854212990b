"""A cohort given file by file: listings of `bids.py` and `folder.py` become subjects and arrays.

One label map a person: where several sessions of one person have one, the first is labelled and the
others are images of the pool, so that no subject is in two folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError
from gansfer.readers.files.nifti import load_image
from gansfer.readers.files.tables import collected
from gansfer.readers.masks import above_background, brain_mask, load_mask, skull_signs
from gansfer.readers.protocols import LabelProtocol
from gansfer.readers.references import ReferenceFolder
from gansfer.readers.segmentations import Segmentation, load_segmentation, whole_numbers
from gansfer.subjects import SAFE_ID, RawSubject, Subject, Survey, Volume


@dataclass(frozen=True)
class SegmentationFile:
    """A segmentation, and what its numbers mean.

    Attributes:
        path: the file.
        protocol: what its numbers mean.
        resample: bring it to the image's grid where it is on another; else that is an error.
        table: what the protocol was read from, or None.
    """

    path: Path
    protocol: LabelProtocol
    resample: bool = False
    table: Path | None = None


@dataclass(frozen=True)
class Entry:
    """One imaging session and its files.

    Attributes:
        id: unique in the cohort, safe in a file name.
        person: sessions of one person share it.
        image: T1-weighted image.
        age_years: or None where unknown.
        sex: "F", "M" or None.
        cdr: or None where unknown.
        in_pool: belongs to the unlabelled pool.
        mask: brain mask, or None.
        label: manual labels, or None.
        reference: segmentation for measuring only, or None.
    """

    id: str
    person: str
    image: Path
    age_years: float | None = None
    sex: str | None = None
    cdr: float | None = None
    in_pool: bool = True
    mask: Path | None = None
    label: SegmentationFile | None = None
    reference: SegmentationFile | None = None


@dataclass(frozen=True)
class Listing:
    """Result of reading tables and folders.

    Attributes:
        entries: usable sessions, in the cohort's order.
        problems: what the user must mend, one line each.
        notes: what the user should know, one line each.
        tables: files that say so.
    """

    entries: tuple[Entry, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tables: tuple[Path, ...] = ()


class ListedSource:
    """Reader of the files of a listing."""

    def __init__(
        self,
        listing: Listing,
        *,
        in_common_space: bool,
        references: ReferenceFolder | None = None,
    ) -> None:
        """Take a listing.

        Args:
            listing: sessions and their files.
            in_common_space: the images are in the common space; else they are registered.
            references: a folder of segmentations by session, instead of the listing's own.
        """
        self._listing = listing
        self._in_common_space = in_common_space
        self._references = references
        self._entries = {entry.id: entry for entry in listing.entries}
        self._subjects = {one.id: one for one in _subjects_of(listing.entries)}

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The listing's sessions and their files."""
        return self._listing.entries

    def subjects(self) -> tuple[Subject, ...]:
        """Every session, in the listing's order.

        Raises:
            UserError: everything that is wrong with tables and folders, a line each.
        """
        return self.survey().checked()

    def survey(self) -> Survey:
        """Every usable session, and what is wrong with tables and folders."""
        problems, notes = list(self._listing.problems), list(self._listing.notes)
        if self._references is not None and self._entries:
            more = self._references.survey(list(self._entries))
            problems += more[0]
            notes += more[1]
        return Survey(tuple(self._subjects.values()), tuple(problems), tuple(notes))

    def tables(self) -> tuple[Path, ...]:
        """The listing's tables."""
        return self._listing.tables

    def files(self, subject_id: str) -> tuple[Path, ...]:
        """The session's image, mask and segmentations, with the tables of their numbers.

        Raises:
            UserError: the session is unknown, or several references match.
        """
        entry = self._known(subject_id)
        paths = [entry.image, _other_half(entry.image), entry.mask]
        for one in (entry.label, entry.reference):
            paths += [] if one is None else [one.path, one.table]
        if self._references is not None:
            paths.append(self._references.path_of(subject_id))
        return tuple(path for path in paths if path is not None)

    def in_common_space(self, subject_id: str) -> bool:
        """All images are, or none is."""
        return self._in_common_space

    def load(self, subject_id: str) -> RawSubject:
        """One session's image, brain, label map and reference.

        Raises:
            UserError: everything that is wrong with its files, a line each.
        """
        entry, subject = self._known(subject_id), self._subjects[subject_id]
        label = entry.label if subject.labelled else None
        maps = [one.path for one in (entry.label, entry.reference) if one is not None]
        image = load_image(entry.image, [*([entry.mask] if entry.mask else []), *maps])
        problems: list[str] = []
        with collected(problems):
            self._check_place(entry.image, image)
        notes = list(image.notes)
        brain_xyz = np.asarray(image.array_xyz) != 0
        with collected(problems):
            brain_xyz = _brain(entry, image, notes)
        segmentation: Segmentation | None = None
        reference_xyz: npt.NDArray[np.uint8] | None = None
        with collected(problems):
            if label is not None:
                segmentation = _segmentation(
                    label, image, subject_id, brain_xyz, notes, complete=True
                )
        with collected(problems):
            if entry.reference is not None:
                reference_xyz = _segmentation(
                    entry.reference, image, subject_id, brain_xyz, notes, complete=False
                ).label_xyz
            elif self._references is not None:
                reference_xyz = self._references.load(subject_id, image, notes)
        if problems:
            raise UserError("\n".join(dict.fromkeys(problems)))
        lifted = above_background(entry.image, image, brain_xyz)
        notes += lifted.notes[len(image.notes) :]
        return RawSubject(
            subject=subject,
            image=lifted,
            brain_mask=brain_xyz,
            label=None if segmentation is None else segmentation.label_xyz,
            white_matter_mask=None if segmentation is None else segmentation.white_matter_xyz,
            reference=reference_xyz,
            in_common_space=self._in_common_space,
            notes=tuple(dict.fromkeys(notes)),
        )

    def _check_place(self, path: Path, image: Volume) -> None:
        """An image that is not registered must say where it lies; readers would make that up."""
        if self._in_common_space and not image.placed:
            raise UserError(
                f"{path}: the header does not say where the image lies (no qform and no sform), "
                "expected its place in the common space; set one, or register the images "
                "(in_common_space: false, and a template)"
            )

    def _known(self, subject_id: str) -> Entry:
        if subject_id not in self._entries:
            raise UserError(f"no subject {subject_id} in this cohort")
        return self._entries[subject_id]


def check_id(where: str, session_id: str, taken: Sequence[str] | set[str]) -> None:
    """Raise a UserError where a session's id is no name of a file, or was given before."""
    if session_id in taken:
        raise UserError(f"{where}: id {session_id!r} is given twice; give every session its own")
    if not SAFE_ID.fullmatch(session_id):
        raise UserError(
            f"{where}: id {session_id!r} is no file name; use letters, digits, dots, dashes and "
            "underscores"
        )


def _other_half(path: Path) -> Path | None:
    """The voxels' file of an Analyze header, and the other way round."""
    other = {".hdr": ".img", ".img": ".hdr"}.get(path.suffix)
    return None if other is None else path.with_suffix(other)


def _brain(entry: Entry, image: Volume, notes: list[str]) -> npt.NDArray[np.bool_]:
    """A session's brain: its mask, else what its own labels tell, also of a second session."""
    if entry.mask is not None:
        return load_mask(entry.mask, image, notes)
    numbers_xyz, label = None, entry.label
    if label is not None and skull_signs(np.asarray(image.array_xyz) != 0, image.affine_ras):
        numbers_xyz = whole_numbers(
            label.path, image, entry.id, label.protocol.value_of, resample=label.resample
        )
    return brain_mask(entry.image, image, numbers_xyz)


def _segmentation(
    file: SegmentationFile,
    image: Volume,
    subject_id: str,
    brain_xyz: npt.NDArray[np.bool_],
    notes: list[str],
    *,
    complete: bool,
) -> Segmentation:
    return load_segmentation(
        file.path,
        image,
        subject_id,
        file.protocol,
        brain_xyz,
        resample=file.resample,
        complete=complete,
        notes=notes,
    )


def _subjects_of(entries: Sequence[Entry]) -> list[Subject]:
    """Subjects of sessions; a person's first labelled session, else the first, has the repeats."""
    main: dict[str, str] = {}
    labelled = {entry.person: entry.id for entry in reversed(entries) if entry.label is not None}
    for entry in entries:
        main.setdefault(entry.person, labelled.get(entry.person, entry.id))
    return [
        Subject(
            id=entry.id,
            age_years=entry.age_years,
            sex=entry.sex,
            cdr=entry.cdr,
            labelled=labelled.get(entry.person) == entry.id,
            in_pool=entry.in_pool,
            repeat_of=None if main[entry.person] == entry.id else main[entry.person],
            labelled_as=None
            if labelled.get(entry.person) == entry.id
            else labelled.get(entry.person),
        )
        for entry in entries
    ]
