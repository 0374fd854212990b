"""Seeds by identity: fixed for ever, apart from each other."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

from gansfer.seeds import seed_for


def test_a_seed_never_changes() -> None:
    assert seed_for(0, "train_gan", 3) == 6954894679312928767
    assert seed_for() == 8203414616412130826


def test_a_seed_does_not_depend_on_the_process() -> None:
    code = "from gansfer.seeds import seed_for; print(seed_for(0, 'train_gan', 3))"
    for hash_seed in ("1", "2"):
        asked = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(asked.stdout) == seed_for(0, "train_gan", 3)


def test_other_identities_have_other_seeds() -> None:
    parts: list[str | int] = [0, 1, "0", "1", "a", "ab", "b", ""]
    identities = [identity for n in range(4) for identity in itertools.product(parts, repeat=n)]
    assert len({seed_for(*identity) for identity in identities}) == len(identities)


def test_seeds_fit_every_generator() -> None:
    assert all(0 <= seed_for("fits", number) < 2**63 for number in range(1000))
