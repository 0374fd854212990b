"""The pictures that the stages drew, chosen and captioned for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gansfer.report.page.page import Gallery, Image, Section

Kind = Literal[
    "cohort",
    "samples",
    "latents",
    "embedding",
    "postprocessing",
    "rejected",
    "nearest",
    "losses",
]

# kind -> heading, what one sees.
_KINDS: dict[Kind, tuple[str, str]] = {
    "samples": (
        "Generated slices",
        "Slices drawn from the averaged generator, structures outlined.",
    ),
    "latents": (
        "Latents whose slices were most similar after phase 1 (paper: Fig. 7)",
        "The nine latents whose slices after phase 1 are the most similar of those searched, after "
        "each phase. Their similarity, and that of random pairs, is given above the picture.",
    ),
    "embedding": (
        "Real and generated slices (paper: Fig. 6)",
        "t-SNE of the labelled slices and of the same latents after each phase. Distances between "
        "far groups mean little.",
    ),
    "postprocessing": (
        "Postprocessing (paper: Fig. 3)",
        "One generated slice after each step.",
    ),
    "rejected": (
        "Rejected slices (paper: Fig. 4)",
        "Removed by the realism filter, the farthest from any real slice first.",
    ),
    "nearest": (
        "Generated slices nearest to a real one",
        "The retained slices nearest to any slice that the GAN saw, each above that slice.",
    ),
    "cohort": ("The cohort", "Middle slices of each subject after preprocessing."),
    "losses": ("Training curves", "Against images shown; bands are levels of the ladder."),
}
_NARROW = ("losses", "embedding")
_CHOICE = (
    "One picture for each N and phase, of the analysis fold where it has one; the others lie "
    "beside their products, in gan/ and synthetic/."
)


@dataclass(frozen=True)
class Picture:
    """A PNG that a stage drew, and the cell that it belongs to (None: to none in particular)."""

    kind: Kind
    path: Path
    seed: int | None = None
    fold: int | None = None
    labels: int | None = None
    group: int | None = None
    phase: int | None = None
    title: str = ""

    @property
    def name(self) -> str:
        """The title, or the cell in words."""
        if self.title:
            return self.title
        words = {
            "N =": self.labels,
            "fold": self.fold,
            "group": self.group,
            "seed": self.seed or None,
            "phase": self.phase,
        }
        text = ", ".join(f"{word} {value}" for word, value in words.items() if value is not None)
        return text or self.path.stem


def picture_sections(pictures: Sequence[Picture], analysis_fold: int | None) -> list[Section]:
    """Galleries of generated slices and of training, one of each kind a label count and phase.

    It is the analysis fold's, the first seed's and the first group's where there is one; how many
    there are in all is said.

    Args:
        pictures: of any kind and cell, in any order.
        analysis_fold: the fold to prefer, or None.
    """
    sections = []
    for title, kinds in (
        (
            "What the generator draws",
            ("samples", "latents", "embedding", "postprocessing", "rejected", "nearest"),
        ),
        ("Cohort and training", ("cohort", "losses")),
    ):
        galleries = [
            gallery
            for kind in kinds
            if (gallery := _gallery(kind, pictures, analysis_fold)) is not None
        ]
        if galleries:
            left_out = any("shown)" in gallery.title for gallery in galleries)
            sections.append(Section(title, [_CHOICE] if left_out else [], galleries))
    return sections


def _gallery(kind: str, pictures: Sequence[Picture], analysis_fold: int | None) -> Gallery | None:
    here = [picture for picture in pictures if picture.kind == kind]
    if not here:
        return None

    def first_seen(picture: Picture) -> tuple[bool, int, int, int, int, int]:
        return (
            picture.fold is not None and picture.fold != analysis_fold,
            picture.fold or 0,
            picture.seed or 0,
            picture.group or 0,
            picture.labels or 0,
            picture.phase or 0,
        )

    chosen: dict[tuple[int, int, str], Picture] = {}
    for picture in sorted(here, key=first_seen):
        chosen.setdefault((picture.labels or 0, picture.phase or 0, picture.title), picture)
    heading, caption = _KINDS[here[0].kind]
    more = f" ({len(chosen)} of {len(here)} shown)" if len(here) > len(chosen) else ""
    images = [
        Image(one.path, f"{one.name}.", caption, kind=heading) for _, one in sorted(chosen.items())
    ]
    return Gallery(heading + more, images, wide=kind not in _NARROW)
