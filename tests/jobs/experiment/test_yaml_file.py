"""What an experiment file's YAML is read as, and what of it is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from gansfer.errors import UserError
from jobs.experiment.yaml_file import MAX_BYTES, read_yaml, yaml_text


def read(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "x.yaml"
    path.write_text(text)
    return read_yaml(path)


@pytest.mark.parametrize(
    "text",
    ["24:00:00", "1:30", "2:1", "012345", "no", "off", "Yes", "1_000", "2024-01-31", "0b11", "1e"],
)
def test_what_yaml_1_1_took_for_a_number_a_date_or_a_truth_is_text(
    tmp_path: Path, text: str
) -> None:
    assert read(tmp_path, f"x: {text}\ny: [{text}]\n") == {"x": text, "y": [text]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("0", 0), ("-12", -12), ("+3", 3), ("0x1F", 31)],
        *[("1.5", 1.5), (".5", 0.5), ("2.", 2.0), ("1e-3", 1e-3), ("-1.0e+16", -1e16)],
        *[(".inf", float("inf")), ("true", True), ("FALSE", False), ("null", None), ("~", None)],
        *[("", None), ("'12'", "12"), ('"no"', "no"), ("nan", "nan"), ("-", [None])],
    ],
)
def test_what_looks_like_a_number_is_one(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, f"x:\n {text}\n")["x"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("read_back", [yaml.safe_load, None])
def test_what_is_written_reads_back_the_same_to_this_reader_and_to_an_older_one(
    tmp_path: Path, read_back: Any
) -> None:
    texts = ["24:00:00", "2:1", "012345", "no", "1e5", "1e-3", "0x1F", "~", "", "<<", "2024-01-31"]
    values = {"texts": texts, "numbers": [1, 0.5, 1e-05, 1e16, True, None], "no": {"é": "ü"}}
    text = yaml_text(values)
    assert (read_back(text) if read_back else read(tmp_path, text)) == values


_BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "name: !!python/object/apply:os.system ['true']\n",
            ", line 1: the tag !!python/object/apply:os.system has no meaning here",
        ),
        ("name: !secret x\n", ", line 1: the tag !secret has no meaning here"),
        ("name: !!binary aGk=\n", ", line 1: the tag !!binary has no meaning here"),
        (_BOMB, ", line 1: more than 20,000 values once its aliases are unfolded"),
        ("a: &a [*a]\n", ", line 1: nested in more than 40 levels, or in itself"),
        ("a: &a {<<: *a}\n", ", line 1: nested in more than 40 levels, or in itself"),
        ("a: " + "[" * 60_000, ": nested in more than 40 levels; mend"),
        ("a: " + "[" * 50 + "]" * 50, ", line 1: nested in more than 40 levels"),
        ("a: " + "1" * 5000, ": Exceeds the limit (4300 digits) for integer string conversion"),
        ("? [a, b]\n: 1\n", ", line 1: a key that is no plain text"),
        ("a: 1\n'a': 2\n", ", line 2: a is given twice, first on line 1"),
        ("a: *nowhere\n", ", line 1: found undefined alias 'nowhere'"),
        ("a: 1\n---\nb: 2\n", ", line 2: but found another document"),
        ("a: \x07\n", ": "),
        ("x" * (MAX_BYTES + 1), ": more than 64 KiB, expected an experiment file of a few"),
        ("[1, 2]\n", ": holds a list, expected keys such as name, cohort and grid"),
        ("", ": holds nothing, expected keys"),
    ],
)
def test_what_no_experiment_file_needs_is_refused_in_one_line(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/x.yaml{told}") and "\n" not in said


if __name__ == "__main__":  # how long each refusal takes
    import tempfile

    for case in (_BOMB, "a: " + "[" * 60_000, "a: [" + "x, " * 20_000 + "]", "x: 1\n" * 12_000):
        with tempfile.TemporaryDirectory() as folder:
            began_s = time.process_time()
            try:
                read(Path(folder), case)
            except UserError as error:
                print(f"{time.process_time() - began_s:.2f} s  {str(error)[-90:]}")
