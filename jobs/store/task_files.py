"""Every file that a task leaves in its folder, named once.

What is listed as a product in the manifest is covered by its digest; pictures, logs and quality
measures lie beside the products, and no task reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CRITIC_SUFFIX = "-critic"
# Kinds of pictures that the report shows of each phase of a GAN, and of a cell's slices.
PICTURES_OF_A_PHASE: tuple[str, ...] = ("samples", "losses")
PICTURES_OF_SLICES: tuple[str, ...] = (
    "latents",
    "embedding",
    "postprocessing",
    "rejected",
    "nearest",
)


@dataclass(frozen=True)
class PhaseFiles:
    """One phase of a GAN.

    Attributes:
        folder: where its files lie.
    """

    folder: Path

    @property
    def generator(self) -> Path:
        """Weights of the generator's moving average (EMA)."""
        return self.folder / "generator.safetensors"

    def critic(self, name: str) -> Path:
        """Weights of a critic that the next phase goes on with, such as `image`."""
        return self.folder / f"{name}{CRITIC_SUFFIX}.safetensors"

    def critics(self) -> dict[str, Path]:
        """The critics that are there, by name."""
        paths = self.folder.glob(f"*{CRITIC_SUFFIX}.safetensors")
        return {path.stem.removesuffix(CRITIC_SUFFIX): path for path in sorted(paths)}

    @property
    def selftaught(self) -> Path:
        """Label channels that phase 3 takes for real ones, drawn once by the phase-2 generator."""
        return self.folder / "selftaught.safetensors"

    @property
    def identity(self) -> Path:
        """What the phase was trained with; written last."""
        return self.folder / "phase.json"

    @property
    def facts(self) -> Path:
        """Its skipped updates, and the variety of its generator's slices."""
        return self.folder / "facts.json"

    @property
    def log(self) -> Path:
        """Losses by step, JSON lines."""
        return self.folder / "log.jsonl"

    def picture(self, kind: str) -> Path:
        """A picture for the report: `samples` or `losses`."""
        return self.folder / f"{kind}.png"


@dataclass(frozen=True)
class TaskFiles:
    """The files of one task, whatever its stage.

    Attributes:
        folder: where they lie.
    """

    folder: Path

    @property
    def manifest(self) -> Path:
        """Written last: with it, the task is done."""
        return self.folder / "manifest.json"

    @property
    def withdrawn_manifest(self) -> Path:
        """The manifest of products that were found damaged, to be looked at."""
        return self.folder / "manifest-withdrawn.json"

    @property
    def state(self) -> Path:
        """Heartbeat, progress and the reason of a failure."""
        return self.folder / "state.json"

    @property
    def task_log(self) -> Path:
        """Messages of the task's attempts, tracebacks included."""
        return self.folder / "task.log"

    @property
    def lock(self) -> Path:
        """Says which process works on the task (lock.py adds a number to the name)."""
        return self.folder / ".claim"

    @property
    def code(self) -> Path:
        """The channel code that a GAN was trained with (`train_gan`)."""
        return self.folder / "code.json"

    def phase(self, phase: int) -> PhaseFiles:
        """The files of one phase (`train_gan`)."""
        return PhaseFiles(self.folder / f"phase-{phase}")

    def slices(self, phase: int) -> Path:
        """Labelled synthetic slices of one phase's generator (`synthesise`)."""
        return self.folder / f"phase-{phase}.h5"

    @property
    def quality(self) -> Path:
        """Measures of the synthetic slices (`synthesise`)."""
        return self.folder / "quality.csv"

    def picture(self, kind: str) -> Path:
        """A picture for the report, such as `embedding` (`synthesise`)."""
        return self.folder / f"{kind}.png"

    @property
    def model(self) -> Path:
        """Weights of a segmenter (`train_segmenter`)."""
        return self.folder / "model.safetensors"

    @property
    def log(self) -> Path:
        """Losses by step, JSON lines (`train_segmenter`)."""
        return self.folder / "log.jsonl"

    @property
    def metrics(self) -> Path:
        """One row a measured value (every stage that segments)."""
        return self.folder / "metrics.csv"

    @property
    def predictions(self) -> Path:
        """Label maps (every stage that segments)."""
        return self.folder / "predictions.h5"

    @property
    def references(self) -> Path:
        """Propagated label maps of some subjects, to measure against (`propagate`)."""
        return self.folder / "references.h5"

    @property
    def page(self) -> Path:
        """The report (`aggregate`)."""
        return self.folder / "index.html"

    def table(self, name: str) -> Path:
        """A table of the report (`aggregate`)."""
        return self.folder / "tables" / f"{name}.csv"

    def relative(self, *paths: Path) -> tuple[str, ...]:
        """Names of files as a manifest lists them: relative to the folder."""
        return tuple(path.relative_to(self.folder).as_posix() for path in paths)


def shown_of_synthesis(files: TaskFiles) -> list[Path]:
    """What the report shows of a cell's slices; where none was rejected, no picture of those is.

    The others are named whether they are there or not: a storage that was away for a while may
    have lost what was written meanwhile, and then the task is not done.
    """
    paths = [files.quality]
    for kind in PICTURES_OF_SLICES:
        both = [files.picture(kind), files.picture(kind).with_suffix(".pdf")]
        if kind != "rejected" or any(path.exists() for path in both):
            paths += both
    return paths
