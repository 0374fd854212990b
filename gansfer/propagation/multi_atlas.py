"""Label maps by propagation: atlases are warped onto a subject, and their labels are fused.

The stand-in for MALPEM's outputs where there are none (III.A), and a rival to the segmenter. Needs
antspyx, which is not among our dependencies: it is imported when it is used.

Axes legend: A atlases, S structures, Z slices, H rows, W columns of the region of interest.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gansfer.errors import UserError
from gansfer.progress import Silent, StopRequested, Watch

Labels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
Spacing = tuple[float, float, float]

# Voxels round the warped labels in which labels are fused; beyond is background.
_FUSED_MARGIN = 3
_PATCH_RADIUS = 2
# SyN has brought the atlases near: on phantoms 1 is as good as ANTs's 3, and quicker.
_SEARCH_RADIUS = 1
_SHARPNESS = 2.0
# At a quarter, half and full resolution; ANTs's own default leaves out the last.
_SYN_ITERATIONS = (40, 20, 10)


def propagate(
    target_zhw: Floats,
    atlas_image_azhw: Floats,
    atlas_label_azhw: Labels,
    spacing_zhw_mm: Spacing,
    *,
    watch: Watch | None = None,
) -> Labels:
    """Segment one subject by the labels of others: SyN within the region, joint label fusion.

    Avants 2008 and Wang 2013, as in ANTs. One atlas alone gives its warped labels. Repeatable to
    the bit on one thread (ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1): nothing is drawn by chance.

    Args:
        target_zhw: the subject's image, z-scored, in the common space.
        atlas_image_azhw: images of labelled subjects, the same region; never the subject itself.
        atlas_label_azhw: their label maps, 0 background and 1..S.
        spacing_zhw_mm: voxel size.
        watch: told of each atlas.

    Returns:
        The subject's label map.

    Raises:
        UserError: antspyx is not installed.
        ValueError: no atlas, or atlases of another shape.
        StopRequested: the watch asked to stop; nothing is kept.
    """
    shape_azhw = (len(atlas_image_azhw), *target_zhw.shape)
    if not len(atlas_image_azhw) or not (
        atlas_image_azhw.shape == atlas_label_azhw.shape == shape_azhw
    ):
        raise ValueError(
            f"cannot propagate from images {atlas_image_azhw.shape} and labels "
            f"{atlas_label_azhw.shape} to {target_zhw.shape}"
        )
    watch = watch or Silent()
    images, labels = [], []
    for done, (image_zhw, label_zhw) in enumerate(
        zip(atlas_image_azhw, atlas_label_azhw, strict=True), start=1
    ):
        if watch.stopping():
            raise StopRequested
        warped = warp_atlas(target_zhw, image_zhw, label_zhw, spacing_zhw_mm)
        images.append(warped[0])
        labels.append(warped[1])
        watch.report(done, len(atlas_image_azhw), "atlases", "registration")
    if len(labels) == 1:
        return labels[0]
    return fuse_labels(target_zhw, np.stack(images), np.stack(labels), spacing_zhw_mm)


def warp_atlas(
    target_zhw: Floats, image_zhw: Floats, label_zhw: Labels, spacing_zhw_mm: Spacing
) -> tuple[npt.NDArray[np.float32], Labels]:
    """One atlas on the subject's grid, by SyN, deformable only: its image and labels.

    Both lie in the common space, so no affine stage comes before: seeing the region alone, it lost
    its way on small ones (8 phantom pairs at 4 mm: DSC .00 to .80; without it .76 to .83), and
    gained nothing on large ones (4 real pairs at 1 mm: .82; without it .83).

    Args:
        target_zhw: the subject's image.
        image_zhw: the atlas's.
        label_zhw: its label map.
        spacing_zhw_mm: voxel size of all three.
    """
    ants = _ants()
    target, image = (_ants_image(one, spacing_zhw_mm) for one in (target_zhw, image_zhw))
    label = _ants_image(label_zhw.astype(np.float32), spacing_zhw_mm)
    with tempfile.TemporaryDirectory(prefix="gansfer-syn-") as folder:
        found = ants.registration(
            fixed=target,
            moving=image,
            type_of_transform="SyNOnly",
            # By default ANTs starts at the centres of mass, which z-scores do not have.
            initial_transform="Identity",
            reg_iterations=_SYN_ITERATIONS,
            outprefix=str(Path(folder) / "warp"),
        )
        # Beyond the atlas's own region lies background: its darkest value, no label.
        warped_image, warped_label = (
            ants.apply_transforms(
                fixed=target,
                moving=one,
                transformlist=found["fwdtransforms"],
                interpolator=how,
                defaultvalue=beyond,
            ).numpy()
            for one, how, beyond in (
                (image, "linear", float(image_zhw.min())),
                (label, "nearestNeighbor", 0),
            )
        )
    return warped_image.astype(np.float32), np.rint(warped_label).astype(np.uint8)


def fuse_labels(
    target_zhw: Floats,
    image_azhw: Floats,
    label_azhw: Labels,
    spacing_zhw_mm: Spacing,
) -> Labels:
    """Joint label fusion of warped atlases, with the background as a label of its own.

    ANTs leaves label 0 out of the vote, so that every voxel which any atlas labels would get some
    structure: background must have a number. It is fused near the warped labels only.

    Args:
        target_zhw: the subject's image.
        image_azhw: [A, Z, H, W] images of `warp_atlas`; A is 2 or more.
        label_azhw: [A, Z, H, W] their label maps.
        spacing_zhw_mm: voxel size.
    """
    reach = ndimage.generate_binary_structure(3, 1)
    inside_zhw = ndimage.binary_dilation((label_azhw > 0).any(axis=0), reach, _FUSED_MARGIN)
    if not (label_azhw > 0).any():
        return np.zeros(target_zhw.shape, np.uint8)
    ants = _ants()
    with tempfile.TemporaryDirectory(prefix="gansfer-fuse-") as folder:
        fused = ants.joint_label_fusion(
            _ants_image(target_zhw, spacing_zhw_mm),
            _ants_image(inside_zhw.astype(np.float32), spacing_zhw_mm),
            [_ants_image(image_zhw, spacing_zhw_mm) for image_zhw in image_azhw],
            beta=_SHARPNESS,
            rad=_PATCH_RADIUS,
            r_search=_SEARCH_RADIUS,
            # 1 is background, k + 2 structures[k].
            label_list=[
                _ants_image(label_zhw.astype(np.float32) + 1, spacing_zhw_mm)
                for label_zhw in label_azhw
            ],
            output_prefix=str(Path(folder) / "fused"),
        )["segmentation"].numpy()
    return np.where(inside_zhw, np.maximum(np.rint(fused) - 1, 0), 0).astype(np.uint8)


def _ants_image(array_zhw: npt.NDArray, spacing_zhw_mm: Spacing) -> Any:
    return _ants().from_numpy(np.asarray(array_zhw, np.float32), spacing=spacing_zhw_mm)


def _ants() -> Any:
    try:
        import ants
    except ImportError as error:
        raise UserError(
            f"references by propagation need antspyx ({error}); install it with "
            "pip install --no-deps -r jobs/image/requirements-propagation.txt"
        ) from None
    return ants
