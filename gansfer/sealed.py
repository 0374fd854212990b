"""Files that carry the digest of their own content, as their last bytes.

Checkpoints and partial results are read by a process that nobody else vouches for: no manifest
lists them. A flipped bit in one would go into results without a word, since neither torch nor
safetensors checks what it reads. Readers of ZIP archives (torch.load, numpy.load) pass over bytes
after the end of the archive, and so does HDF5.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_MARK = b"\ngansfer-sha256:"
_SEAL_BYTES = len(_MARK) + hashlib.sha256().digest_size
_CHUNK_BYTES = 1 << 20


def seal(path: Path) -> None:
    """Append the digest of a file that is about to be put in its place."""
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").digest()
    with path.open("ab") as content:
        content.write(_MARK + digest)


def is_intact(path: Path) -> bool:
    """Whether a sealed file is to the bit what was written; False where it was never sealed."""
    left = path.stat().st_size - _SEAL_BYTES
    if left < 0:
        return False
    total = hashlib.sha256()
    with path.open("rb") as content:
        while left > 0:
            chunk = content.read(min(left, _CHUNK_BYTES))
            if not chunk:
                return False
            total.update(chunk)
            left -= len(chunk)
        return content.read() == _MARK + total.digest()


def is_sealed(path: Path) -> bool:
    """Whether a file ends as a sealed one does: an earlier version has sealed fewer kinds."""
    with path.open("rb") as content:
        content.seek(max(path.stat().st_size - _SEAL_BYTES, 0))
        return content.read(len(_MARK)) == _MARK


def unsealed(path: Path) -> bytes:
    """The content of a sealed file, for readers that mind what follows it."""
    return path.read_bytes()[:-_SEAL_BYTES]
