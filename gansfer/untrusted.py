"""Limits for files that somebody else has made: no more memory than an honest file would need.

A compressed file of kilobytes may unpack to gigabytes, and a header of bytes may claim them. Both
are refused before anything is allocated.
"""

from __future__ import annotations

import io
from typing import IO, Any

# A volume of 256 x 256 x 256 voxels of 8 bytes, and its header: allowed whatever it shrank by.
FREE_BYTES = (128 << 20) + (1 << 20)
# Images shrink by 2 to 10, their background included. A label map that is larger than that and
# shrinks by more can be unpacked by its owner.
MOST_EXPANSION = 50
# What deflate can do at best; the project's own files of label maps come near.
MOST_OF_DEFLATE = 1032
# As large as a table or a header with its extensions may be.
MOST_TABLE_BYTES = 64 << 20
MOST_HEADER_BYTES = 16 << 20


def expands_too_much(n_bytes: int, n_packed: int, most_expansion: int = MOST_EXPANSION) -> bool:
    """Whether a compressed file claims more than `FREE_BYTES`, and far more than it can hold.

    Args:
        n_bytes: unpacked, as the header claims.
        n_packed: as they lie on the disk.
        most_expansion: how many times more than those may be claimed.
    """
    return n_bytes > max(FREE_BYTES, most_expansion * n_packed)


class BoundedStream(io.IOBase):
    """A file that ends after a number of bytes, whatever is asked of it.

    Args:
        stream: the file, at its start.
        most_bytes: reading stops there; seeking beyond is an error.
    """

    def __init__(self, stream: IO[bytes], most_bytes: int) -> None:
        self._stream = stream
        self.name = getattr(stream, "name", "a stream")
        self._most_bytes = most_bytes

    def read(self, n_bytes: int = -1) -> bytes:
        """As of any file, up to the bound."""
        left = max(self._most_bytes - self._stream.tell(), 0)
        return self._stream.read(left if n_bytes < 0 else min(n_bytes, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file, up to the bound.

        Raises:
            OSError: the place lies beyond, or is counted from the end (which may be far).
        """
        if whence == 2 or (whence == 0 and offset > self._most_bytes):
            raise OSError(f"its header points to byte {offset}, beyond its data")
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Bytes read so far."""
        return self._stream.tell()

    def write(self, data: Any) -> int:
        """Refuse; nibabel takes for a file only what could write."""
        raise OSError(f"a stream that is read took no {len(data)} bytes")

    def close(self) -> None:
        """Leave the file to whoever opened it."""
