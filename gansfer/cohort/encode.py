"""Images and label maps as the channels that the GAN learns, and back (III.A).

Axes legend: K = N * Z slices, C = 1 + S channels, S structures; N subjects, M images of the pool.
Channel 0 is the MR; channel s + 1 is sign_s * (MR - level) inside structure s, 0 elsewhere and
where that is negative. The level is the image's white matter plus one shift for all: parts of some
structures (pallidum, thalamus) are as bright as white matter, and a contrast that is clipped at 0
cannot be told from background. Every channel has one recorded affine, encoded = (value - offset_c)
* gain_c, then is clipped to -1..1: the MR's percentiles go to -1 and +1, a label channel's 0 to -1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ChannelCode:
    """The recorded, invertible code of every channel.

    Attributes:
        structures: names, in the order of label values 1..S.
        sign_s: -1 where the structure is darker than the level, else +1.
        offset_c: value that is encoded as 0, z-score units.
        gain_c: encoded units per z-score unit.
        white_matter_shift: level minus white matter, z-score units.
    """

    structures: tuple[str, ...]
    sign_s: tuple[int, ...]
    offset_c: tuple[float, ...]
    gain_c: tuple[float, ...]
    white_matter_shift: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Give the code as plain lists and numbers, for JSON."""
        return {
            "structures": list(self.structures),
            "sign_s": list(self.sign_s),
            "offset_c": list(self.offset_c),
            "gain_c": list(self.gain_c),
            "white_matter_shift": self.white_matter_shift,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ChannelCode:
        """Make the code that `to_dict` wrote."""
        return cls(
            structures=tuple(value["structures"]),
            sign_s=tuple(int(sign) for sign in value["sign_s"]),
            offset_c=tuple(float(offset) for offset in value["offset_c"]),
            gain_c=tuple(float(gain) for gain in value["gain_c"]),
            white_matter_shift=float(value["white_matter_shift"]),
        )

    def encode(
        self, image_nzhw: Floats, label_nzhw: npt.NDArray[np.uint8], white_matter_n: Floats
    ) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Encode labelled volumes as slices for the GAN.

        Args:
            image_nzhw: z-scored images.
            label_nzhw: label maps, 0 and 1..S.
            white_matter_n: white-matter intensity of each image, z-score units.

        Returns:
            channels [K, C, H, W] in -1..1, and the number of clipped voxels of each channel [C]
            (MR beyond its percentiles; inside a structure, contrast below 0 or beyond its own).
        """
        n, z, h, w = image_nzhw.shape
        channels_nczhw = np.empty((n, 1 + len(self.structures), z, h, w), np.float32)
        n_clipped_c = np.zeros(1 + len(self.structures), np.int64)
        channels_nczhw[:, 0], n_clipped_c[0] = self._affine(image_nzhw, 0)
        level_n = np.asarray(white_matter_n, np.float32) + np.float32(self.white_matter_shift)
        for s in range(len(self.structures)):
            contrast_nzhw = _contrast(image_nzhw, label_nzhw, level_n, s, self.sign_s[s])
            channels_nczhw[:, s + 1], n_clipped_c[s + 1] = self._affine(contrast_nzhw, s + 1)
        channels_kchw = channels_nczhw.swapaxes(1, 2).reshape(n * z, -1, h, w)
        return np.ascontiguousarray(channels_kchw), n_clipped_c

    def encode_images(self, image_nzhw: Floats) -> Floats:
        """Encode unlabelled volumes: [N, Z, H, W] z-scored -> [K, 1, H, W] in -1..1."""
        n, z, h, w = image_nzhw.shape
        return self._affine(image_nzhw, 0)[0].reshape(n * z, 1, h, w)

    def decode(self, channels_kchw: Floats) -> tuple[Floats, Floats]:
        """Invert the code: z-scored images [K, H, W] and label contrasts [K, S, H, W]."""
        gain_c11 = np.asarray(self.gain_c, np.float32)[:, None, None]
        offset_c11 = np.asarray(self.offset_c, np.float32)[:, None, None]
        value_kchw = np.asarray(channels_kchw, np.float32) / gain_c11 + offset_c11
        return value_kchw[:, 0], value_kchw[:, 1:]

    def _affine(self, value: npt.NDArray[np.floating], channel: int) -> tuple[Floats, int]:
        encoded = (value.astype(np.float64) - self.offset_c[channel]) * self.gain_c[channel]
        # Rounding of the two ends themselves is no clipping.
        n_clipped = int(np.count_nonzero(np.abs(encoded) > 1 + 1e-6))
        return np.clip(encoded, -1.0, 1.0).astype(np.float32), n_clipped


def fit_code(
    image_nzhw: Floats,
    label_nzhw: npt.NDArray[np.uint8],
    white_matter_n: Floats,
    pool_image_mzhw: Floats,
    structures: Sequence[str],
    mr_percentiles: tuple[float, float],
    label_percentile: float,
    level_percentile: float | None = None,
    least_contrast: float = 0.0,
) -> ChannelCode:
    """Fit the code of a group: level, signs and label ranges from its own labelled subjects only.

    Args:
        image_nzhw: z-scored images of the group's labelled subjects.
        label_nzhw: their label maps, 0 and 1..S.
        white_matter_n: their white-matter intensities, z-score units.
        pool_image_mzhw: z-scored images of the unlabelled pool (M may be 0).
        structures: names, in the order of label values.
        mr_percentiles: percentiles of labelled and pool voxels that are mapped to -1 and +1.
        label_percentile: percentile of a structure's contrast that is mapped to +1.
        level_percentile: see `white_matter_shift`; None: the level is white matter itself.
        least_contrast: see `white_matter_shift`.

    Raises:
        UserError: a structure is absent in the group, or a range is empty.
    """
    voxels = np.concatenate([image_nzhw.ravel(), pool_image_mzhw.ravel()])
    low, high = (float(v) for v in np.percentile(voxels, mr_percentiles, overwrite_input=True))
    if not high > low:
        raise UserError(
            f"encoding: the MR's percentiles {mr_percentiles[0]:g} and {mr_percentiles[1]:g} are "
            f"both {low:g}; are the images empty, or mr_percentiles in the wrong order?"
        )
    from_white_s = _from_white_matter(image_nzhw, label_nzhw, white_matter_n, structures)
    shift = 0.0
    if level_percentile is not None:
        shift = white_matter_shift(from_white_s, level_percentile, least_contrast)
    sign_s, range_s = [], []
    for name, from_white_m in zip(structures, from_white_s, strict=True):
        from_level_m = from_white_m - np.float32(shift)
        sign = -1 if float(from_level_m.mean(dtype=np.float64)) < 0 else 1
        top = float(np.percentile(np.maximum(sign * from_level_m, 0.0), label_percentile))
        if not top > 0:
            raise UserError(
                f"encoding: {name} has no contrast to white matter in the group; "
                "look at its white-matter estimates"
            )
        sign_s.append(sign)
        range_s.append(top)
    return ChannelCode(
        structures=tuple(structures),
        sign_s=tuple(sign_s),
        offset_c=((low + high) / 2, *(top / 2 for top in range_s)),
        gain_c=(2 / (high - low), *(2 / top for top in range_s)),
        white_matter_shift=shift,
    )


def white_matter_shift(
    from_white_s: Sequence[Floats], percentile: float, least_contrast: float
) -> float:
    """How far the level must lie beyond white matter for every structure to show against it.

    The level moves away from the structures (up where they are on average darker than white
    matter, as in T1 images; else down), never towards them, until in each structure `percentile`
    per cent of the voxels have at least `least_contrast` times the structure's mean contrast. The
    channels stay linear in the MR, which couples them to it (III.A). Paper silent.

    Args:
        from_white_s: MR - white matter of the voxels of each structure.
        percentile: per cent of a structure's voxels, such as 99.
        least_contrast: 0 <= fraction < 1; 0 asks for a positive contrast only.
    """
    direction = 1.0 if np.mean([float(inside_m.mean()) for inside_m in from_white_s]) < 0 else -1.0
    shifts = [0.0]
    for inside_m in from_white_s:
        towards_m = direction * inside_m.astype(np.float64)
        nearest = float(np.percentile(towards_m, percentile))
        # shift - nearest = least_contrast * (shift - mean)
        shifts.append((nearest - least_contrast * towards_m.mean()) / (1.0 - least_contrast))
    return direction * float(max(shifts))


def _from_white_matter(
    image_nzhw: Floats,
    label_nzhw: npt.NDArray[np.uint8],
    white_matter_n: Floats,
    structures: Sequence[str],
) -> list[Floats]:
    """MR - white matter of each structure's voxels."""
    difference_nzhw = image_nzhw - np.asarray(white_matter_n, np.float32)[:, None, None, None]
    from_white_s = []
    for s, name in enumerate(structures):
        inside_nzhw = label_nzhw == s + 1
        if not inside_nzhw.any():
            raise UserError(
                f"encoding: no voxel of {name} in the group's {len(label_nzhw)} labelled "
                "subjects; look at their label maps, protocol and region of interest"
            )
        from_white_s.append(difference_nzhw[inside_nzhw])
    return from_white_s


def _contrast(
    image_nzhw: Floats, label_nzhw: npt.NDArray[np.uint8], level_n: Floats, s: int, sign: int
) -> Floats:
    """Signed contrast to the level inside structure `s`, not yet clipped at 0; 0 outside."""
    from_level_nzhw = image_nzhw - level_n[:, None, None, None]
    return np.where(label_nzhw == s + 1, sign * from_level_nzhw, np.float32(0.0))
