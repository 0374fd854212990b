from __future__ import annotations

from pathlib import Path

import pytest

from gansfer.sealed import is_intact, seal, unsealed


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 9000], ids=len)
def test_a_sealed_file_is_intact_and_gives_its_content_back(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert not is_intact(path)
    seal(path)
    assert is_intact(path)
    assert unsealed(path) == content


def test_every_flipped_bit_cut_and_longer_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a small checkpoint")
    seal(path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in (1, 128):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            assert not is_intact(path), place
        path.write_bytes(whole[:place])
        assert not is_intact(path), place
    path.write_bytes(whole + b"x")
    assert not is_intact(path)
