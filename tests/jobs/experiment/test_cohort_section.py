"""Kinds of images, labels and references: which go together, and what is said where they do not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gansfer.errors import UserError
from gansfer.structures import protocol_table
from jobs.experiment.loading import parse_experiment
from jobs.inputs.sources import make_source
from tests.readers.layouts import (
    FOLDER_AFFINE,
    bids_cohort,
    experiment_values,
    folder_cohort,
    two_structures,
    write_challenge,
    write_folder,
    write_nifti,
)


def explain(cohort: dict) -> str:
    with pytest.raises(UserError) as caught:
        parse_experiment(experiment_values(cohort, Path("runs")), "x.yaml")
    return str(caught.value)


def test_images_in_their_own_space_need_a_template() -> None:
    images = {"kind": "folder", "folder": "a", "table": "a.csv"}
    assert explain(folder_cohort(Path("a"), images=images)) == (
        "x.yaml: cohort.images: images in their own space need a template: name a brain-extracted "
        "image in the common space, or set in_common_space: true where they are in it already"
    )


def test_labels_that_do_not_go_with_the_images() -> None:
    labels = {"kind": "bids", "folder": "b"}
    assert explain(folder_cohort(Path("a"), labels=labels)) == (
        "x.yaml: cohort: labels of kind 'bids' do not go with images of kind 'folder': give table "
        "or challenge"
    )
    references = {"kind": "table", "protocol": "malpem"}
    assert explain(bids_cohort(Path("a"), references=references)) == (
        "x.yaml: cohort: references of kind 'table' do not go with images of kind 'bids'; give "
        "none, propagation, malpem, dseg or bids"
    )


def test_a_wrong_key_keeps_its_whole_name() -> None:
    images = {"kind": "folder", "folder": 3, "table": "a.csv", "in_common_space": True}
    assert explain(folder_cohort(Path("a"), images=images)) == (
        "x.yaml: cohort.images.folder: input should be a valid string (found 3)"
    )
    images |= {"folder": "a", "tabel": "b"}
    assert explain(folder_cohort(Path("a"), images=images)) == (
        "x.yaml: cohort.images.tabel is not a setting; did you mean 'table'?"
    )


def test_every_path_is_known_to_who_binds_or_checks_it() -> None:
    cohort = bids_cohort(Path("/a"), references={"kind": "dseg", "folder": "/r", "pattern": "{id}"})
    experiment = parse_experiment(experiment_values(cohort, Path("runs")), "x.yaml")
    assert list(experiment.cohort.places()) == [
        ("images.folder", "/a", True),
        ("images.masks", "/a/derivatives/masks", True),
        ("labels.folder", "/a/derivatives/manual", True),
        ("references.folder", "/r", True),
    ]


@pytest.mark.parametrize("protocol", ["freesurfer", {"hippocampus": [1], "thalamus": [2, 3]}])
def test_a_protocol_is_a_name_or_a_mapping(protocol: object) -> None:
    cohort = folder_cohort(Path("a"), labels={"kind": "table", "protocol": protocol})
    experiment = parse_experiment(experiment_values(cohort, Path("runs")), "x.yaml")
    assert experiment.cohort.model_dump()["labels"]["protocol"] == protocol


def test_a_folder_of_images_goes_with_the_challenges_labels(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", n_labelled=0, n_others=2)
    challenge = write_challenge(tmp_path / "challenge", ["1000,OAS1_0001_MR1"], "id,oasis_session")
    truth = write_nifti(tmp_path / "truth" / "s0.nii.gz", two_structures(), FOLDER_AFFINE)
    cohort = folder_cohort(
        folder,
        labels={"kind": "challenge", "folder": str(challenge)},
        references={
            "kind": "dseg",
            "folder": str(truth.parent),
            "pattern": "{id}.nii.gz",
            "protocol": "freesurfer",
        },
    )
    experiment = parse_experiment(experiment_values(cohort, tmp_path / "runs"), "x.yaml")
    source = make_source(experiment)
    subjects = source.subjects()
    assert [(one.id, one.labelled, one.in_pool) for one in subjects] == [
        ("s0", False, True),
        ("s1", False, True),
        ("1000", True, True),
    ]
    raw = source.load("s0")
    assert raw.reference is not None and raw.in_common_space
    assert source.load("s1").reference is None
    assert not source.load("1000").in_common_space


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (
            {"hippocampus": [17, 53], "thalamus": [53, 10]},
            "protocol gives the number 53 to hippocampus and to thalamus, expected one of them; "
            "correct the mapping",
        ),
        (
            {"hippocampus": [17], "thalamus": [10], "white_matter": [17]},
            "protocol gives the number 17 to hippocampus and to white_matter, expected one of "
            "them; correct the mapping",
        ),
        (
            {"hippocampus": [-1], "thalamus": [10]},
            "protocol gives hippocampus the number -1, expected 1 to 1000000; correct the mapping",
        ),
        (
            {"hippocampus": [10**10], "thalamus": [10]},
            "protocol gives hippocampus the number 10000000000, expected 1 to 1000000; correct the "
            "mapping",
        ),
        (
            {"hippocampus": [], "thalamus": [10]},
            "protocol gives hippocampus no number; give it one, or leave it out",
        ),
    ],
)
def test_a_mapping_gives_each_number_one_meaning(protocol: dict, said: str) -> None:
    labels = {"kind": "table", "protocol": protocol}
    assert explain(folder_cohort(Path("a"), labels=labels)) == (
        f"x.yaml: cohort.labels.protocol: {said}"
    )
    with pytest.raises(ValueError, match=re.escape(said)):
        protocol_table(protocol, ("hippocampus", "thalamus"))


@pytest.mark.parametrize(
    ("names", "sided"),
    [
        (("left_hippocampus", "right_hippocampus"), True),
        (("Hippocampus-L", "HippocampusR"), True),
        (("thalamus", "RightThalamus"), True),
        (("lateral_ventricle", "cleft", "bright_spot", "area1"), False),
    ],
)
def test_sides_kept_apart_are_not_mirrored(names: tuple[str, ...], sided: bool) -> None:
    protocol = {name: [number] for number, name in enumerate(names, start=1)}
    cohort = folder_cohort(
        Path("a"), structures=list(names), labels={"kind": "table", "protocol": protocol}
    )
    values = experiment_values(cohort, Path("runs"))
    if sided:
        name = names[1] if names[0] == "thalamus" else names[0]
        assert explain(cohort) == (
            "x.yaml: segmenter.reflection_probability 0.5 mirrors slices, which would make "
            f"{name} the other side's: set it to 0, or merge left and right into one structure"
        )
        values["segmenter"] = {"reflection_probability": 0}
    assert parse_experiment(values, "x.yaml").cohort.structures == names
