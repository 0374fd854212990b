"""Seeds by identity: the same task of the same experiment always draws the same numbers.

A seed is a hash of names and numbers that say what is drawn, never of time, process or `hash()`;
so a resumed run equals an undisturbed one, and two tasks never share a stream.
"""

from __future__ import annotations

import hashlib


def seed_for(*identity: str | int) -> int:
    """A 63-bit seed from an identity such as `(experiment_seed, "train_gan", fold, labels)`.

    Args:
        identity: strings and integers, in a fixed order. `1` and `"1"` differ.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in identity)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
