"""Mutated files for every reader: only the project's own error may come out.

    python -m tests.readers.fuzzing --inputs 100000 --seed 1

prints a table: format, inputs tried, read, refused, another exception, crashed; with CPU seconds
of the slowest input and the largest memory. Each format runs in a process of its own: a library
that crashes is counted and not suffered. What went wrong is kept in --keep.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gansfer.cohort.shards import Cohort
from gansfer.cohort.table import read_table
from gansfer.cohort.writing import write_cohort
from gansfer.errors import UserError
from gansfer.evaluation.predictions import read_predictions, write_predictions
from gansfer.preprocessing.preprocess import PreparedSubject
from gansfer.readers.bids import list_bids
from gansfer.readers.challenge import ChallengeSource
from gansfer.readers.files.nifti import load_volume
from gansfer.readers.folder import list_folder
from gansfer.readers.label_maps import load_labels
from gansfer.readers.oasis import OasisSource
from gansfer.readers.protocols import LabelProtocol
from gansfer.settings import RoiSettings
from gansfer.subjects import Subject
from gansfer.synthesis.synthetic_sets import SyntheticSet, read_synthetic, write_synthetic
from tests.readers.layouts import (
    FOLDER_HEADER,
    brain,
    two_structures,
    write_bids,
    write_challenge,
    write_nifti,
    write_t88,
)

SHAPE = (12, 14, 10)
VALUE_OF = {10: 1, 49: 1, 17: 2, 53: 2}
# What headers are broken by: signs, limits, floats that are none, separators and quotes.
INTERESTING = (
    *(struct.pack("<h", n) for n in (0, 1, -1, 32767, -32768, 4, 1024)),
    *(struct.pack(">h", n) for n in (1, 32767, 4, 1024)),
    *(struct.pack("<i", n) for n in (0, -1, 2**31 - 1, -(2**31), 348, 540, 10**6)),
    *(struct.pack(">i", n) for n in (2**31 - 1, 348, 10**6)),
    *(struct.pack("<q", n) for n in (-1, 2**63 - 1, 2**40)),
    *(struct.pack("<f", x) for x in (0.0, np.nan, np.inf, -np.inf, 1e38, 1e-45, -1.0)),
    *(struct.pack("<d", x) for x in (np.nan, np.inf, 1e308)),
    *(b",", b"\t", b'"', b"\n", b"\r", b"\0", b"\xff", b"\xc3\x28", b"\xef\xbb\xbf"),
    *(b"-", b"9" * 40, b"nan", b"inf", b"1e999", b"../../x", b"=cmd", b"\xe2\x80\xae", b"6.0+"),
)


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: for the table.
        write: makes good files in an empty folder.
        target: the one that is mutated.
        load: everything that the project does to read it.
        is_packed: mutate what a gzip file unpacks to, and pack it again.
        n_header: half of the changes are before this byte.
    """

    name: str
    write: Callable[[Path], object]
    target: str
    load: Callable[[Path], object]
    is_packed: bool = False
    n_header: int = 560


def _image(folder: Path, name: str) -> None:
    write_nifti(folder / name, brain(SHAPE))


def _nifti_2(folder: Path) -> None:
    nib.save(nib.Nifti2Image(brain(SHAPE), np.eye(4)), folder / "i.nii")


def _mgz(folder: Path, name: str) -> None:
    nib.save(nib.MGHImage(brain(SHAPE), np.eye(4)), folder / name)


def _labels(folder: Path) -> None:
    _image(folder, "i.nii")
    write_nifti(folder / "l.nii", two_structures((40, 44, 36))[13:25, 12:26, 12:22])


def _load_labels(folder: Path) -> None:
    load_labels(folder / "l.nii", load_volume(folder / "i.nii"), "s", VALUE_OF, [])


ROI = RoiSettings(size_mm=(8, 8, 6), voxel_mm=2.0)


def _cohort(folder: Path) -> None:
    rng = np.random.default_rng(0)
    prepared = [
        PreparedSubject(
            Subject(f"s{k}", age_years=30.0 + k, labelled=k < 2, in_pool=True),
            rng.normal(0, 1, ROI.shape_zhw).astype(np.float32),
            rng.integers(0, 3, ROI.shape_zhw).astype(np.uint8) if k < 2 else None,
            rng.integers(0, 3, ROI.shape_zhw).astype(np.uint8),
            1.0,
            "mixture",
            100.0,
            10.0,
            notes=("odd",),
        )
        for k in range(3)
    ]
    write_cohort(folder, prepared, structures=("a", "b"), roi=ROI, software="test")


def _load_cohort(folder: Path) -> None:
    cohort = Cohort(folder)
    ids = [row.subject.id for row in cohort.rows]
    cohort.images(ids)
    cohort.notes()
    cohort.labels([row.subject.id for row in cohort.rows if row.subject.labelled])
    cohort.references([row.subject.id for row in cohort.rows if row.reference_shard])


def _synthetic(folder: Path) -> None:
    rng = np.random.default_rng(0)
    n_k = np.arange(6)
    images = rng.normal(0, 1, (6, 8, 8)).astype(np.float32)
    labels = rng.integers(0, 3, (6, 8, 8)).astype(np.uint8)
    one = SyntheticSet(images, labels, n_k, n_k / 7, n_k < 4, n_k, n_k)
    write_synthetic(folder / "p.h5", one, {"phase": 2})


def _predictions(folder: Path) -> None:
    label_nzhw = np.random.default_rng(0).integers(0, 3, (3, 4, 8, 8)).astype(np.uint8)
    write_predictions(
        folder / "p.h5", ["a", "b", "c"], label_nzhw, ["x", "y"], (2.0, 2.0, 2.0), np.eye(4)
    )


def _table(folder: Path) -> None:
    rows = [f"s{n},,s{n}.nii,,l{n}.nii,,{30 + n},F,0.5,yes" for n in range(4)]
    (folder / "t.csv").write_text("\n".join([FOLDER_HEADER, *rows]) + "\n")


def _told(problems: Sequence[str]) -> None:
    """Problems of a listing, as its source raises them."""
    if problems:
        raise UserError("\n".join(problems))


def _load_table(folder: Path) -> None:
    protocol = LabelProtocol.named("t", "freesurfer", ("hippocampus",))
    _told(list_folder(folder, folder / "t.csv", protocol, None).problems)


def _load_bids(folder: Path) -> None:
    _told(list_bids(folder).problems)
    LabelProtocol.from_table(folder / "derivatives/manual/dseg.tsv", ("hippocampus",))


def _oasis(folder: Path) -> None:
    header = "ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV,nWBV,ASF,Delay"
    rows = [f"OAS1_000{n}_MR1,F,R,7{n},,,,0.5,1344,0.7,1.3,N/A" for n in (1, 2)]
    (folder / "t.csv").write_text("\n".join([header, *rows]) + "\n")
    write_t88(folder, "OAS1_0001_MR1", brain((11, 13, 11)))
    write_t88(folder, "OAS1_0002_MR1", brain((11, 13, 11)))


def _load_oasis(folder: Path) -> None:
    source = OasisSource(folder, folder / "t.csv")
    source.subjects()
    source.load("OAS1_0001_MR1")


def _challenge(folder: Path) -> None:
    rows = ["1000,OAS1_0001_MR1,23,F,0.5,", "1001,OAS1_0061_MR1,24,M,0,"]
    write_challenge(folder / "c", rows, "id,oasis_session,age_years,sex,cdr,repeat_of")


T88 = "disc1/OAS1_0001_MR1/PROCESSED/MPRAGE/T88_111/OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc"
FORMATS = (
    Format("NIfTI", lambda d: _image(d, "i.nii"), "i.nii", lambda d: load_volume(d / "i.nii")),
    Format("NIfTI-2", _nifti_2, "i.nii", lambda d: load_volume(d / "i.nii")),
    Format(
        "NIfTI, packed",
        lambda d: _image(d, "i.nii.gz"),
        "i.nii.gz",
        lambda d: load_volume(d / "i.nii.gz"),
        is_packed=True,
    ),
    Format(
        "gzip", lambda d: _image(d, "i.nii.gz"), "i.nii.gz", lambda d: load_volume(d / "i.nii.gz")
    ),
    Format("label map", _labels, "l.nii", _load_labels),
    Format("Analyze", _oasis, f"{T88}.hdr", _load_oasis),
    Format(
        "MGZ",
        lambda d: _mgz(d, "i.mgz"),
        "i.mgz",
        lambda d: load_volume(d / "i.mgz"),
        is_packed=True,
    ),
    Format("MGH", lambda d: _mgz(d, "i.mgh"), "i.mgh", lambda d: load_volume(d / "i.mgh")),
    Format("shards", _cohort, "images-000.h5", _load_cohort, n_header=1 << 20),
    Format("reference shards", _cohort, "reference-000.h5", _load_cohort, n_header=1 << 20),
    Format(
        "synthetic sets", _synthetic, "p.h5", lambda d: read_synthetic(d / "p.h5"), n_header=1 << 20
    ),
    Format(
        "predictions",
        _predictions,
        "p.h5",
        lambda d: read_predictions(d / "p.h5"),
        n_header=1 << 20,
    ),
    Format("subjects.csv", _cohort, "subjects.csv", lambda d: read_table(d / "subjects.csv")),
    Format("subjects.csv, with shards", _cohort, "subjects.csv", _load_cohort),
    Format("table of a folder", _table, "t.csv", _load_table),
    Format("participants.tsv", lambda d: write_bids(d, ("01",)), "participants.tsv", _load_bids),
    Format("dseg.tsv", lambda d: write_bids(d, ("01",)), "derivatives/manual/dseg.tsv", _load_bids),
    Format("table of OASIS-1", _oasis, "t.csv", _load_oasis),
    Format(
        "table of the challenge",
        _challenge,
        "c/demographics.csv",
        lambda d: ChallengeSource(d / "c", ("hippocampus",)).subjects(),
    ),
)


@st.composite
def mutated(draw: st.DrawFn, good: bytes, n_header: int) -> bytes:
    """A good file with one to four changes; headers, at the start, are hit more often."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        size = max(len(data), 1)
        at = draw(st.one_of(st.integers(0, min(size, n_header) - 1), st.integers(0, size - 1)))
        length = draw(st.sampled_from((1, 2, 4, 8, 16, 64, 512)))
        kind = draw(st.sampled_from(("set", "random", "bit", "zero", "cut", "delete", "repeat")))
        if kind == "set":
            value = draw(st.sampled_from(INTERESTING))
            data[at : at + len(value)] = value
        elif kind == "random":
            value = draw(st.binary(min_size=1, max_size=8))
            data[at : at + len(value)] = value
        elif kind == "bit" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "zero":
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif kind == "cut":
            del data[size - length if draw(st.booleans()) else at :]
        elif kind == "delete":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length]
    return bytes(data)


def strategy(form: Format, folder: Path) -> tuple[Path, st.SearchStrategy[bytes]]:
    """Good files of a format in a folder; the one to change, and its mutations."""
    form.write(folder)
    path = folder / form.target
    good = path.read_bytes()
    if not form.is_packed:
        return path, mutated(good, form.n_header)
    return path, mutated(gzip.decompress(good), form.n_header).map(
        lambda one: gzip.compress(one, 1, mtime=0)
    )


def is_read(form: Format, folder: Path) -> bool:
    """Whether a reader takes its files; it may refuse them, with the project's error alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            form.load(folder)
        except UserError:
            return False
    return True


def _run_one(form: Format, n_inputs: int, first_seed: int, folder: Path, keep: Path) -> None:
    """Try a format in this process, and write the counts after every input."""
    path, inputs = strategy(form, folder)
    counts = {"tried": 0, "read": 0, "refused": 0, "other": 0, "slowest_s": 0.0, "peak_mib": 0.0}
    counts_file = (folder / "counts.json").open("w")

    @seed(first_seed)
    @settings(
        max_examples=n_inputs,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        began_s = time.process_time()  # a busy machine is not the reader's fault
        try:
            outcome = "read" if is_read(form, folder) else "refused"
        except BaseException:  # counted here, so that the next input is tried too
            outcome = "other"
            name = f"{form.name}-{first_seed}-{counts['tried']:.0f}".replace(" ", "_")
            (keep / name).write_bytes(data)
            (keep / f"{name}.txt").write_text(traceback.format_exc())
        counts["tried"] += 1
        counts[outcome] += 1
        counts["slowest_s"] = max(counts["slowest_s"], time.process_time() - began_s)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        counts["peak_mib"] = max(counts["peak_mib"], peak)
        counts_file.seek(0)
        counts_file.write(json.dumps(counts).ljust(300))
        counts_file.flush()

    attempt()


def main(words: Sequence[str] | None = None) -> int:
    """Fuzz every format and print the table; 1 where another exception or a crash came out."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--inputs", type=int, default=2000, help="of all formats together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzzed"), help="what went wrong")
    parser.add_argument("--only", help="one format, in this process", default=None)
    parser.add_argument("--folder", type=Path, default=None)
    chosen = parser.parse_args(words)
    chosen.keep.mkdir(parents=True, exist_ok=True)
    if chosen.only is not None:
        form = next(form for form in FORMATS if form.name == chosen.only)
        _run_one(form, chosen.inputs, chosen.seed, chosen.folder, chosen.keep)
        return 0
    share = -(-chosen.inputs // len(FORMATS))
    print(f"{'format':26} tried   read  refused  other  crashed  slowest s  peak MiB", flush=True)
    total = dict.fromkeys(("tried", "read", "refused", "other", "crashed"), 0)
    for form in FORMATS:
        row: dict[str, float] = {**dict.fromkeys(total, 0), "slowest_s": 0.0, "peak_mib": 0.0}
        attempt_seed = chosen.seed
        while row["tried"] < share:
            folder = Path(tempfile.mkdtemp())
            code = subprocess.run(
                [
                    *(sys.executable, "-m", "tests.readers.fuzzing", "--only", form.name),
                    *("--inputs", str(int(share - row["tried"])), "--seed", str(attempt_seed)),
                    *("--folder", str(folder), "--keep", str(chosen.keep)),
                ],
                check=False,
            ).returncode
            counts = {"tried": 0}
            with contextlib.suppress(OSError, ValueError):
                counts = json.loads((folder / "counts.json").read_text())
            for name, value in counts.items():
                better = max(row[name], value) if "_" in name else row[name] + value
                row[name] = better
            if code != 0:
                row["tried"] += 1
                row["crashed"] += 1
                shutil.copy(folder / form.target, chosen.keep / f"crash-{form.name}-{attempt_seed}")
            elif not counts["tried"]:
                raise RuntimeError(f"{form.name}: nothing was tried")
            attempt_seed += 1000
            shutil.rmtree(folder)
        print(
            f"{form.name:26} {row['tried']:5.0f} {row['read']:6.0f} {row['refused']:8.0f} "
            f"{row['other']:6.0f} {row['crashed']:8.0f} {row['slowest_s']:10.2f} "
            f"{row['peak_mib']:9.0f}",
            flush=True,
        )
        for name in total:
            total[name] += int(row[name])
    print(
        f"{'all':26} {total['tried']:5} {total['read']:6} {total['refused']:8} "
        f"{total['other']:6} {total['crashed']:8}"
    )
    return int(total["other"] + total["crashed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
