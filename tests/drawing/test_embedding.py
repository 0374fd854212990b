from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gansfer.drawing import embedding, synthesis_figures

STRUCTURES = ("accumbens", "caudate")


def test_tsne_keeps_the_sets_apart_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(12, 6, 6))
    phases = {"phase 1": rng.normal(size=(10, 6, 6)) + 9, "phase 2": rng.normal(size=(8, 6, 6)) - 9}
    real_n2, by_phase = embedding.tsne_of_slices(real, phases, seed=3)
    assert real_n2.shape == (12, 2)
    assert {name: place.shape for name, place in by_phase.items()} == {
        "phase 1": (10, 2),
        "phase 2": (8, 2),
    }
    again, _ = embedding.tsne_of_slices(real, phases, seed=3)
    assert np.array_equal(real_n2, again)
    centre = real_n2.mean(axis=0)
    spread = np.linalg.norm(real_n2 - centre, axis=1).mean()
    for place in by_phase.values():
        assert np.linalg.norm(place.mean(axis=0) - centre) > spread


def test_figures_of_the_gan_are_written_twice(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(6, 20, 20))
    mask = np.zeros((2, 20, 20), bool)
    mask[1, 5:12, 5:12] = True
    embedding.embedding_figure(
        tmp_path / "a.png", rng.normal(size=(5, 2)), {"one": rng.normal(size=(4, 2))}
    )
    embedding.same_latents_figure(
        tmp_path / "b.png",
        {"phase 1": image, "phase 2": image},
        {"phase 1": np.zeros((6, 20, 20), int), "phase 2": np.ones((6, 20, 20), int)},
        np.array([[0, 1, 2]]),
        STRUCTURES,
        "latents",
    )
    synthesis_figures.postprocessing_figure(
        tmp_path / "c.png",
        image[0],
        mask * 0.5,
        {"mask": mask, "final": mask},
        STRUCTURES,
        ("caudate",),
        "steps",
    )
    synthesis_figures.rejected_figure(tmp_path / "d.png", image, np.arange(6.0), "rejected")
    for name in "abcd":
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 80
