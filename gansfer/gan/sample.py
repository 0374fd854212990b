"""Draw latents and generate slices from them.

Axes legend: N slices, L latent, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gansfer.gan.networks import Generator
from gansfer.progress import Silent, StopRequested, Watch


def draw_latents(n: int, latent_size: int, seed: int) -> Tensor:
    """Latents of a seed, the same on every machine; the first m of n are those of m.

    Args:
        n: latents wanted.
        latent_size: L.
        seed: of this set.

    Returns:
        [n, L] float32 normal numbers, on the CPU. The generator itself puts them on the sphere,
        as in the official code.
    """
    random = torch.Generator().manual_seed(seed)
    # Row by row, because PyTorch fills short and long tensors in different orders.
    rows = [torch.randn(latent_size, generator=random) for _ in range(n)]
    return torch.stack(rows) if rows else torch.empty(0, latent_size)


def sample(
    generator: Generator,
    latents_nl: Tensor,
    *,
    batch: int = 64,
    device: str = "cpu",
    watch: Watch | None = None,
) -> Tensor:
    """Slices of latents, in float32, without gradients.

    Args:
        generator: fully grown; moved to `device`.
        latents_nl: [N, L].
        batch: slices generated at a time.
        device: "cpu" or "cuda".
        watch: told of progress.

    Returns:
        [N, C, H, W] float32 on the CPU.

    Raises:
        StopRequested: the watch wants to stop; nothing is kept, since sampling is quick.
    """
    watch = watch or Silent()
    generator = generator.to(device).eval()
    side_px = generator.base_px * 2 ** (generator.n_levels - 1)
    n = len(latents_nl)
    slices_nchw = torch.empty(n, generator.n_channels, side_px, side_px)
    with torch.no_grad():
        for start in range(0, n, batch):
            if watch.stopping():
                raise StopRequested
            generated_bchw = generator(latents_nl[start : start + batch].to(device))
            slices_nchw[start : start + len(generated_bchw)] = generated_bchw.cpu()
            watch.report(min(start + batch, n), n, "slices", "sampling")
    return slices_nchw
