"""Settings of the progressive GAN and of its three phases, with the paper's values as defaults.

As in `settings.py`; most defaults here are the official PGGAN's.
"""

from __future__ import annotations

from pydantic import Field

from gansfer.settings import Count, CountOrZero, Fraction, Positive, Precision, Settings

PHASES = (1, 2, 3)  # of the GAN's training (II.B)
WINDOW_MAPS = 32  # feature maps of D_C
_RATE = "Adam's step size in this phase; null: gan.learning_rate"
_COUPLING = (
    "weight in G's loss of D_C, a critic of small windows of image and labels together, meant to "
    "keep labels on their image; 0: none, as in the paper"
)


class Phase1Settings(Settings):
    """Phase 1: the whole progressive GAN on the labelled slices (II.B)."""

    fade_images: Count | dict[int, Count] = Field(
        600_000, description="images shown while a level fades in; one number, or by px"
    )
    stable_images: Count | dict[int, Count] = Field(
        600_000, description="images shown at a level after its fade; one number, or by px"
    )


class Phase2Settings(Settings):
    """Phase 2: early blocks learn from the unlabelled images; the last ones are frozen (II.B)."""

    images: CountOrZero = Field(1_200_000, description="Paper silent; as long as a PGGAN level.")
    frozen_top_blocks: Count = Field(
        2, description="blocks of G frozen, counted from the output; toRGB always. Paper silent."
    )
    warmup_cycles: CountOrZero = Field(5, description="first G updates that D_I is ahead of")
    warmup_critic_updates: Count = Field(100, description="D_I updates per G update in these")
    critic_updates: Count = Field(1, description="D_I updates per G update afterwards")
    learning_rate: Positive | None = Field(None, description=_RATE)
    coupling_weight: float = Field(0.0, ge=0, description=_COUPLING)


class Phase3Settings(Settings):
    """Phase 3: frozen blocks unfreeze one by one under D_I and D_S (II.B)."""

    images: CountOrZero = Field(1_200_000, description="Paper silent; as long as a PGGAN level.")
    unfreeze_every_images: Count = Field(
        300_000, description="images between unfreezing one block and the next. Paper silent."
    )
    image_weight: Positive = Field(1.0, description="weight of D_I in G's loss. Paper silent.")
    label_weight: Positive = Field(1.0, description="weight of D_S in G's loss. Paper silent.")
    selftaught_slices: Count = Field(
        10_000, description="slices drawn once from the phase-2 G for D_S's real set"
    )
    label_warmup_cycles: CountOrZero = Field(
        5, description="G updates D_S is ahead of. Paper silent; as D_I in phase 2."
    )
    label_warmup_critic_updates: Count = Field(
        100, description="updates of D_S in each cycle before G learns from it"
    )
    learning_rate: Positive | None = Field(None, description=_RATE)
    coupling_weight: float = Field(0.0, ge=0, description=_COUPLING)


class GanSettings(Settings):
    """The progressively growing GAN. Defaults are the official implementation's."""

    base_px: Count = Field(5, description="side of the first level; doubled up to the slice side")
    latent_size: Count = Field(
        512, description="numbers in the latent that a slice is generated from"
    )
    fmap_base: Count = Field(8192, description="width at level s is min(base / 2^s, max), s from 1")
    fmap_max: Count = Field(512, description="the most feature maps of a layer")
    fmaps: tuple[Count, ...] | None = Field(
        None, description="widths of the levels, coarse to fine; overrides the two above"
    )
    fused_scaling: bool = Field(True, description="x2 scaling fused into the convolution beside it")
    minibatch: Count | dict[int, Count] = Field(
        default={5: 128, 10: 128, 20: 128, 40: 64, 80: 32}, description="one number, or by px"
    )
    learning_rate: Positive = Field(
        1e-3,
        description="Adam's step size, of G and all critics; phases 2 and 3 may have their own",
    )
    adam_betas: tuple[float, float] = Field(
        (0.0, 0.99), description="Adam's decay of the first and second moment"
    )
    adam_epsilon: Positive = Field(1e-8, description="Adam's term against division by zero")
    gradient_penalty: Positive = Field(10.0, description="lambda of WGAN-GP")
    penalty_every: Count = Field(
        1,
        description="every how many updates of a critic the gradient penalty is taken, which then "
        "weighs so many times more (lazy, as in StyleGAN2); beyond the paper",
    )
    drift: float = Field(0.001, ge=0, description="weight of D(real)^2")
    stddev_group: Count = Field(4, description="group of the minibatch standard deviation")
    ema_half_life_kimg: Positive = Field(
        10.0, description="half-life of G's moving average, in thousand images"
    )
    precision: Precision = Field(
        "auto",
        description="of the networks' products. auto: bfloat16 on a CPU that multiplies in it, "
        "else float32",
    )
    max_skipped_fraction: Fraction = Field(
        0.05,
        description="share of a network's updates in a phase that may be skipped because their "
        "gradient is not finite; above it the phase fails. 1: never",
    )
    labelled_copies: CountOrZero = Field(
        0,
        description="deformed copies of each labelled slice, as section augmentation says, that "
        "D_S and D_C know beside it; beyond the paper",
    )
    phase_1: Phase1Settings = Field(
        Phase1Settings(), description="the whole GAN learns the labelled slices"
    )
    phase_2: Phase2Settings = Field(
        Phase2Settings(), description="early blocks learn the unlabelled images"
    )
    phase_3: Phase3Settings = Field(
        Phase3Settings(),
        description="blocks unfreeze one by one, images and labels are judged apart",
    )

    def ladder_px(self, slice_px: int) -> tuple[int, ...]:
        """Sides of the levels up to `slice_px`, coarse to fine.

        Raises:
            ValueError: `slice_px` is not `base_px` times a power of two.
        """
        sides = [self.base_px]
        while sides[-1] < slice_px:
            sides.append(sides[-1] * 2)
        if sides[-1] != slice_px:
            raise ValueError(
                f"a ladder from base_px {self.base_px} has sides {', '.join(map(str, sides))}, "
                f"not {slice_px}: choose a base_px that doubles to {slice_px}"
            )
        return tuple(sides)

    def widths(self, n_levels: int) -> tuple[int, ...]:
        """Feature maps at each level, coarse to fine (official rule, or `fmaps`).

        Raises:
            ValueError: `fmaps` does not have one width for each level.
        """
        if self.fmaps is None:
            return tuple(
                max(1, min(self.fmap_base // 2 ** (level + 1), self.fmap_max))
                for level in range(n_levels)
            )
        if len(self.fmaps) != n_levels:
            raise ValueError(
                f"fmaps has {len(self.fmaps)} widths for {n_levels} levels; give one for each"
            )
        return self.fmaps

    def at_rate_of(self, phase: Phase2Settings | Phase3Settings) -> GanSettings:
        """The same with the phase's own learning rate, where it has one."""
        if phase.learning_rate is None:
            return self
        return self.model_copy(update={"learning_rate": phase.learning_rate})

    @staticmethod
    def at_px(setting: int | dict[int, int], px: int, name: str) -> int:
        """The value of a by-px setting at one level.

        Raises:
            ValueError: the setting is given by px and lacks this one.
        """
        if isinstance(setting, int):
            return setting
        if px not in setting:
            raise ValueError(f"{name} has no value for {px} px; it has {sorted(setting)}")
        return setting[px]

    def generator_flops(self, slice_px: int, n_channels: int, level: int | None = None) -> int:
        """Operations (two per multiply-add) of one slice's pass through the generator.

        Convolutions and dense layers, from the shapes alone: as `networks.flops_per_image` counts
        them, which needs torch.

        Args:
            slice_px: side of a full slice.
            n_channels: C of the slices.
            level: how far it has grown; None: to the top.
        """
        sides, widths = self._grown(slice_px, level)
        total = self.latent_size * widths[0] * sides[0] ** 2 + 9 * widths[0] ** 2 * sides[0] ** 2
        for below, (width, side) in enumerate(zip(widths[1:], sides[1:], strict=True)):
            total += widths[below] * width * self._scaled_by_2(side) + 9 * width**2 * side**2
        return 2 * (total + widths[-1] * n_channels * sides[-1] ** 2)

    def critic_flops(self, slice_px: int, n_channels: int, level: int | None = None) -> int:
        """The same of a critic."""
        sides, widths = self._grown(slice_px, level)
        total = n_channels * widths[-1] * sides[-1] ** 2
        for below, (width, side) in enumerate(zip(widths[1:], sides[1:], strict=True)):
            total += 9 * width**2 * side**2 + width * widths[below] * self._scaled_by_2(side)
        end = 9 * (widths[0] + 1) * widths[0] + widths[0] ** 2
        return 2 * (total + end * sides[0] ** 2 + widths[0])

    @staticmethod
    def window_critic_flops(slice_px: int, n_channels: int) -> int:
        """The same of D_C, which sees full slices only."""
        per_pixel = 9 * WINDOW_MAPS * (n_channels + WINDOW_MAPS + 1)
        return 2 * per_pixel * slice_px**2

    def _grown(self, slice_px: int, level: int | None) -> tuple[list[int], list[int]]:
        """Sides and widths up to the level."""
        ladder = self.ladder_px(slice_px)
        n_levels = len(ladder) if level is None else level + 1
        return list(ladder[:n_levels]), list(self.widths(len(ladder))[:n_levels])

    def _scaled_by_2(self, side_px: int) -> int:
        """Multiply-adds of a convolution that scales, for each pair of maps; its larger side."""
        return 16 * (side_px // 2) ** 2 if self.fused_scaling else 9 * side_px**2
