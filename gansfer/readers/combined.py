"""The paper's cohort: OASIS-1 (or other images) is the pool, the challenge brings the labels."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from gansfer.errors import UserError
from gansfer.readers.challenge import ChallengeSource
from gansfer.readers.masks import brain_only
from gansfer.readers.oasis import person_of
from gansfer.readers.references import ReferenceFolder
from gansfer.subjects import FileSource, RawSubject, Subject, Survey, Volume


class CombinedSource:
    """Pool images first, labelled subjects after them.

    Labelled subjects are in the pool through their own OASIS-1 session, which says whose it is
    (`labelled_as`); where that session is on no disc, their labelled image is in the pool instead.
    What the challenge's table does not know (CDR, age, sex) is taken from the person's session.
    """

    def __init__(
        self,
        images: FileSource,
        labels: ChallengeSource,
        references: ReferenceFolder | None = None,
    ) -> None:
        """Combine two sources; `references` are of the pool's images, else they bring their own."""
        self._images = images
        self._labels = labels
        self._references = references

    def subjects(self) -> tuple[Subject, ...]:
        """Every pool session, then every labelled subject.

        Raises:
            UserError: everything that is wrong with tables and folders, a line each.
        """
        return self.survey().checked()

    def survey(self) -> Survey:
        """Every pool session, then every labelled subject, and what is wrong with both sources."""
        images, labels = self._images.survey(), self._labels.survey()
        problems, notes = [*images.problems, *labels.problems], [*images.notes, *labels.notes]
        if self._references is not None and images.subjects:
            more = self._references.survey([session.id for session in images.subjects])
            problems += more[0]
            notes += more[1]
        return Survey(tuple(self._subjects.values()), tuple(problems), tuple(notes))

    def tables(self) -> tuple[Path, ...]:
        """The tables of both sources."""
        return (*self._images.tables(), *self._labels.tables())

    def files(self, subject_id: str) -> tuple[Path, ...]:
        """The subject's files; of a labelled one, those of its own session too.

        Raises:
            UserError: the subject is unknown, or it cannot be said which.
        """
        if self._known(subject_id).labelled:
            own = self._own_session(subject_id)
            return (*self._labels.files(subject_id), *(self._images.files(own) if own else ()))
        given = None if self._references is None else self._references.path_of(subject_id)
        return (*self._images.files(subject_id), *(() if given is None else (given,)))

    def in_common_space(self, subject_id: str) -> bool:
        """As the source that the subject is from says."""
        source = self._labels if self._known(subject_id).labelled else self._images
        return source.in_common_space(subject_id)

    def load(self, subject_id: str) -> RawSubject:
        """One subject's arrays; a pool session with its reference where there is one.

        Raises:
            UserError: the files are missing or damaged.
        """
        subject = self._known(subject_id)
        if subject.labelled:
            raw = self._labels.load(subject_id)
            return replace(raw, subject=subject, own_copy=self._own_copy(subject_id))
        raw = self._images.load(subject_id)
        reference, notes = raw.reference, list(raw.notes)
        if self._references is not None:
            reference = self._references.load(subject_id, raw.image, notes)
        return replace(raw, subject=subject, reference=reference, notes=tuple(notes))

    def _own_copy(self, labelled_id: str) -> Volume | None:
        """The pool's image of a labelled subject's own session, if it is in the common space."""
        session = self._own_session(labelled_id)
        if session is None or not self._images.in_common_space(session):
            return None
        own = self._images.load(session)
        return brain_only(own.image, own.brain_mask)

    def _own_session(self, labelled_id: str) -> str | None:
        """The pool's session of a labelled subject's image, where the pool has it."""
        session = self._labels.session_of(labelled_id)
        return session if session in self._subjects else None

    def _known(self, subject_id: str) -> Subject:
        if subject_id not in self._subjects:
            raise UserError(f"no subject {subject_id} in this cohort")
        return self._subjects[subject_id]

    @cached_property
    def _subjects(self) -> dict[str, Subject]:
        sessions = {session.id: session for session in self._images.survey().subjects}
        labelled = {one.id: one for one in self._labels.survey().subjects}
        owner = {person_of(self._labels.session_of(i)): i for i in labelled}
        owner.pop("", None)
        subjects: dict[str, Subject] = {}
        for session in sessions.values():
            subjects[session.id] = replace(session, labelled_as=owner.get(person_of(session.id)))
        for one in labelled.values():
            own = sessions.get(self._labels.session_of(one.id))
            if own is not None:
                one = replace(
                    one,
                    age_years=own.age_years if one.age_years is None else one.age_years,
                    sex=one.sex or own.sex,
                    cdr=own.cdr if one.cdr is None else one.cdr,
                    in_pool=False,
                )
            subjects[one.id] = one
        return subjects
