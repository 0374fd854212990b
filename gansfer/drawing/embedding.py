"""What a generator's phases add: Fig. 6 (t-SNE) and Fig. 7 (latents similar after phase 1).

Legend: N slices or latents, H W rows and columns, K latents shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from gansfer.drawing.slices import slice_table
from gansfer.drawing.style import INK, report_style, save_png_and_pdf

_PHASE_COLOURS = ("#E69F00", "#009E73", "#0072B2", "#CC79A7")
_PCA_DIMENSIONS = 50


def tsne_of_slices(
    real_nhw: npt.NDArray[np.floating],
    generated_by_phase: Mapping[str, npt.NDArray[np.floating]],
    seed: int,
    perplexity: float = 30.0,
) -> tuple[npt.NDArray[np.float64], dict[str, npt.NDArray[np.float64]]]:
    """Embed real slices and the output of the same latents after each phase together (Fig. 6).

    Paper silent on t-SNE's settings; scikit-learn's defaults after 50 principal components.

    Args:
        real_nhw: [N, H, W] MR channel of the labelled slices.
        generated_by_phase: name of a phase -> [N, H, W] MR channel of its slices.
        seed: of t-SNE's start.
        perplexity: t-SNE's; lowered where there are too few slices.

    Returns:
        [N, 2] places of the real slices, and of each phase's.
    """
    sets = [real_nhw, *generated_by_phase.values()]
    flat = np.concatenate([part.reshape(len(part), -1) for part in sets]).astype(np.float64)
    reduced = PCA(min(_PCA_DIMENSIONS, *flat.shape), random_state=0).fit_transform(flat)
    embedding = TSNE(
        perplexity=min(perplexity, (len(flat) - 1) / 3), random_state=seed % 2**32, init="pca"
    ).fit_transform(reduced)
    places = np.split(embedding, np.cumsum([len(part) for part in sets])[:-1])
    return places[0], dict(zip(generated_by_phase, places[1:], strict=True))


def embedding_figure(
    path: Path,
    real_n2: npt.NDArray[np.floating],
    generated_by_phase: Mapping[str, npt.NDArray[np.floating]],
) -> None:
    """Fig. 6: places from `tsne_of_slices`, real slices and each phase's.

    Args:
        path: the PNG; the PDF goes beside it.
        real_n2: [N, 2] real slices.
        generated_by_phase: name of a phase -> [N, 2].
    """
    with report_style():
        figure = Figure(figsize=(6.4, 5.0), layout="constrained")
        axes = figure.subplots()
        for (name, place_n2), colour in zip(
            generated_by_phase.items(), _PHASE_COLOURS, strict=False
        ):
            axes.scatter(
                place_n2[:, 0], place_n2[:, 1], s=7, color=colour, alpha=0.6, lw=0, label=name
            )
        axes.scatter(
            real_n2[:, 0],
            real_n2[:, 1],
            s=16,
            color=INK,
            marker="x",
            lw=1,
            label="real slices",
            zorder=3,
        )
        axes.set_xlabel("$x_1$")
        axes.set_ylabel("$x_2$")
        axes.set_xticks([])
        axes.set_yticks([])
        figure.legend(loc="outside right upper", markerscale=1.8)
        save_png_and_pdf(figure, path)


def same_latents_figure(
    path: Path,
    image_by_phase: Mapping[str, npt.NDArray[np.floating]],
    label_by_phase: Mapping[str, npt.NDArray[np.integer]],
    region_rk: npt.NDArray[np.integer],
    structures: Sequence[str],
    title: str,
) -> None:
    """Fig. 7: the same latents after each phase, one block of rows a region.

    Args:
        path: the PNG; the PDF goes beside it.
        image_by_phase: name of a phase -> [N, H, W] slices of all latents.
        label_by_phase: name of a phase -> [N, H, W] label maps.
        region_rk: [regions, K] indices of the latents most similar after phase 1.
        structures: names, in the order of the label values.
        title: above the picture.
    """
    rows = [
        (f"region {region + 1}\n{phase}", image_by_phase[phase][k], label_by_phase[phase][k])
        for region, k in enumerate(region_rk)
        for phase in image_by_phase
    ]
    slice_table(
        path,
        np.stack([image_khw for _, image_khw, _ in rows]),
        np.stack([label_khw for _, _, label_khw in rows]),
        structures,
        title,
        row_titles=[text for text, _, _ in rows],
        also_pdf=True,
    )
