from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gansfer.errors import UserError
from jobs.experiment.arms import arms_of
from jobs.experiment.grid import real_per_synthetic
from jobs.experiment.loading import load_experiment, parse_experiment, save_experiment
from jobs.experiment.model import Experiment
from jobs.experiment.resources import slurm_hours

ROOT = Path(__file__).resolve().parents[3]
SMALL: dict[str, Any] = {
    "name": "small",
    "cohort": {"images": {"kind": "phantom", "labelled": 30}, "roi": {"voxel_mm": 2.0}},
}


def changed(**sections: Any) -> dict[str, Any]:
    return {**SMALL, **sections}


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_config_of_the_project_is_valid(path: Path) -> None:
    assert load_experiment(path).name == path.stem


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            changed(gan={"phase_2": {"imags": 3}}),
            "gan.phase_2.imags is not a setting; did you mean 'images'?",
        ),
        (changed(sedd=1), "sedd is not a setting; did you mean 'seed'?"),
        (
            changed(cohort={"images": {"kind": "phantom", "labeled": 3}}),
            "cohort.images.labeled is not a setting; did you mean 'labelled'?",
        ),
        (
            changed(cohort={"images": {"kind": "phantm"}}),
            "cohort.images.kind is 'phantm', expected one of 'phantom', 'oasis'",
        ),
        (
            changed(gan={"base_px": 6}),
            "gan: a ladder from base_px 6 has sides 6, 12, 24, 48, not 40: choose a base_px that "
            "doubles to 40 (roi slices are 40 px)",
        ),
        (
            changed(gan={"fmaps": [8, 8]}),
            "gan: fmaps has 2 widths for 4 levels; give one for each (roi slices are 40 px)",
        ),
        (
            changed(gan={"minibatch": {5: 8, 10: 8}}),
            "gan: minibatch has no value for 20 px; it has [5, 10] (roi slices are 40 px)",
        ),
        (
            changed(gan={"phase_2": {"frozen_top_blocks": 4}}),
            "gan.phase_2.frozen_top_blocks 4 freezes all of G's 4 blocks: leave at least one to "
            "train",
        ),
        (
            changed(gan={"phase_3": {"images": 600_000}}),
            "gan.phase_3.images 600000 ends before the last frozen block learns, at 600000",
        ),
        (
            changed(grid={"label_counts": [1, 25]}),
            "label_counts asks for 25 labelled subjects, but 5 folds of 30 leave 24 to train on",
        ),
        (
            changed(grid={"ratios": ["2-1"]}),
            "grid.ratios.0: ratio '2-1' is not of the form real:synthetic, such as 10:1",
        ),
        (
            changed(grid={"use_folds": [5]}),
            "grid: use_folds asks for fold 5, but the folds that run are 5 of 5 (counted from 0)",
        ),
        (
            changed(grid={"label_counts": [3]}),
            "grid: ablation.label_count 1 is not in label_counts [3]",
        ),
        (
            changed(resources={"synthesise": {"time_h": 0.05}}),
            "resources.synthesise.time_h is 180 s in whole minutes, expected more than "
            "cluster.signal_before_end_s, 180 s: a task would be told to stop as it starts",
        ),
        (changed(name="a b"), "name: string should match pattern"),
        (
            changed(synthesis={"keep_percentile": 0}),
            "synthesis.keep_percentile: input should be greater than 0 (found 0)",
        ),
        (
            changed(cohort={"images": {"kind": "phantom"}, "roi": {"size_mm": [80, 72, 60]}}),
            "cohort.roi: size_mm is 80 by 72 in plane; the GAN's slices are square: make the "
            "first two equal",
        ),
        (
            changed(
                cohort={
                    "images": {"kind": "phantom"},
                    "labels": {"kind": "challenge", "folder": "x"},
                }
            ),
            "cohort: labels of kind 'challenge' do not go with images of kind 'phantom'",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(values: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_experiment(values, "file.yaml")
    assert str(caught.value).startswith(f"file.yaml: {line}")
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_told_together() -> None:
    with pytest.raises(UserError) as caught:
        parse_experiment(changed(sedd=1, run={"threds": 2}), "file.yaml")
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_file_names_a_near_one(tmp_path: Path) -> None:
    (tmp_path / "phantom.yaml").write_text("name: x\n")
    with pytest.raises(
        UserError, match=r"phantm.yaml: no such experiment file; did you mean .*phantom.yaml"
    ):
        load_experiment(tmp_path / "phantm.yaml")


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\ncohort: {images: [\n")
    with pytest.raises(UserError, match=r"x.yaml, line 3: .*; mend the YAML there"):
        load_experiment(path)


def test_yaml_is_read_safely(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match=r"x.yaml, line 1: the tag !!python.* has no meaning"):
        load_experiment(path)


def test_environment_variables_are_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nstorage: ${GANSFER_NOWHERE}/a\ncohort: {images: {kind: phantom}}\n")
    with pytest.raises(UserError, match="environment variable GANSFER_NOWHERE is not set"):
        load_experiment(path)
    monkeypatch.setenv("GANSFER_NOWHERE", "/data")
    assert load_experiment(path).storage == "/data/a"
    path.write_text(path.read_text().replace("NOWHERE}", "ELSEWHERE:-here}"))
    assert load_experiment(path).storage == f"{tmp_path}/here/a"


def test_a_site_profile_is_merged_under_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(
        "cluster: {array_parallelism: 3}\nresources: {train_gan: {gpus: 2, cpus: 9}}\n"
    )
    (tmp_path / "x.yaml").write_text(
        "name: x\ncluster: site.yaml\ncohort: {images: {kind: phantom}}\n"
        "resources: {train_gan: {cpus: 7}}\n"
    )
    experiment = load_experiment(tmp_path / "x.yaml")
    assert experiment.cluster.array_parallelism == 3
    assert experiment.stage_resources("train_gan").gpus == 2
    assert experiment.stage_resources("train_gan").cpus == 7


def test_an_experiment_overrides_single_keys_of_its_site(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(
        "cluster: {partition: gpu, account: us, container: {nv: false}, sbatch: {nice: 5}}\n"
    )
    (tmp_path / "x.yaml").write_text(
        "name: x\ncohort: {images: {kind: phantom}}\n"
        "cluster: {profile: site.yaml, account: physics, sbatch: {exclusive: true}}\n"
    )
    cluster = load_experiment(tmp_path / "x.yaml").cluster
    assert (cluster.partition, cluster.account, cluster.container.nv) == ("gpu", "physics", False)
    assert cluster.sbatch == {"nice": 5, "exclusive": True}


def test_a_profile_that_is_no_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: x\ncluster: {profile: [a.yaml]}\n")
    with pytest.raises(UserError, match=r"x.yaml: cluster.profile is \['a.yaml'\], expected a fil"):
        load_experiment(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "name: x\ncluster: site.yaml\ncluster: {account: us}\n",
            "line 3: cluster is given twice, first on line 2",
        ),
        ("name: x\ngan:\n  base_px: 5\n  'base_px': 4\n", "line 4: base_px is given twice"),
    ],
)
def test_a_key_given_twice_is_a_mistake(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=f"x.yaml, {told}.*; mend the YAML there"):
        load_experiment(tmp_path / "x.yaml")


def test_anchors_and_merged_keys_are_no_keys_given_twice(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "name: x\ncohort: {images: {kind: phantom}}\nresources:\n"
        "  train_gan: &gpu {partition: a, cpus: 7}\n"
        "  synthesise: &short {<<: *gpu, partition: b, time_h: 1}\n"
        "  segment_cohort: {<<: *short, time_h: 2}\n"
    )
    asked = load_experiment(tmp_path / "x.yaml").stage_resources("segment_cohort")
    assert (asked.partition, asked.cpus, asked.time_h) == ("b", 7, 2)


def test_a_resolved_experiment_reads_back_the_same(tmp_path: Path) -> None:
    experiment = Experiment.model_validate({**SMALL, "storage": str(tmp_path)})
    save_experiment(experiment, tmp_path / "experiment.yaml")
    assert load_experiment(tmp_path / "experiment.yaml") == experiment


def test_a_resolved_experiment_is_read_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_experiment(Experiment.model_validate({**SMALL, "storage": "runs"}), Path("x.yaml"))
    assert load_experiment(tmp_path / "x.yaml").storage == f"{tmp_path}/runs"


@pytest.mark.parametrize(("ratio", "value"), [("100:1", 100.0), ("2:1", 2.0), ("1:2", 0.5)])
def test_ratios(ratio: str, value: float) -> None:
    assert real_per_synthetic(ratio) == value


def test_one_ratio_is_one_arm_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: x\ncohort: {images: {kind: phantom}}\nanalysis: {best_ratio: 6:3}\n"
        "grid: {ratios: [2:1, '4:2', 2.0:1, 2.5:1], ablation: {ratio: 20:10}}\n"
    )
    experiment = load_experiment(path)
    assert experiment.grid.ratios == ("2:1", "5:2")
    assert experiment.grid.ablation is not None and experiment.grid.ablation.ratio == "2:1"
    assert experiment.analysis.best_ratio == "2:1"
    names = [arm.name for arm in arms_of(experiment, 0, 1)]
    assert len(set(names)) == len(names) and "ratio-5to2" in names


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"analysis": {"best_ratio": "3:1"}}, "analysis.best_ratio 3:1 is not among grid.ratios"),
        ({"analysis": {"best_ratio": "best"}}, "analysis: best_ratio: ratio 'best' is not of the"),
        ({"resources": {"prepare": {"time_h": "1:30"}}}, "resources.prepare.time_h: '1:30' may be"),
        ({"resources": {"prepare": {"time_h": "soon"}}}, "resources.prepare.time_h: input should"),
        ({"cluster": {"sbatch": {"time": "soon"}}}, "sbatch of prepare: 'soon' is no time limit"),
        ({"cluster": {"sbatch": {"mem": "much"}}}, "sbatch of prepare: 'much' is no memory of"),
    ],
)
def test_a_time_a_size_or_a_ratio_in_no_known_form_is_a_mistake(
    sections: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError) as caught:
        parse_experiment(changed(**sections), "file.yaml")
    assert str(caught.value).startswith(f"file.yaml: {told}")


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        *[("90", 1.5), ("1:30", 0.025), ("24:00:00", 24), ("1-12", 36), ("1-12:30", 36.5)],
        *[("2-00:00:36", 48.01), ("0:00:36", 0.01)],
    ],
)
def test_slurms_forms_of_a_time_limit(text: str, hours: float) -> None:
    assert slurm_hours(text) == pytest.approx(hours)


def test_the_limits_among_sbatch_options_are_those_that_are_asked_for() -> None:
    experiment = parse_experiment(
        changed(
            cluster={"sbatch": {"time": "24:00:00", "mem": "64G", "nice": 5}},
            resources={
                "train_gan": {"time_h": "1-06:00:00", "sbatch": {"time": 90, "mem": 512}},
                "aggregate": {"time_h": "2:30:00", "sbatch": {"mem": 0}},
            },
        ),
        "test",
    )
    asked = {stage: experiment.stage_resources(stage) for stage in ("prepare", "train_gan")}
    assert (asked["prepare"].time_minutes, asked["prepare"].memory_gb) == (1440, 64)
    assert (asked["train_gan"].time_minutes, asked["train_gan"].memory_gb) == (90, 0.5)
    assert asked["prepare"].sbatch == {"nice": 5}
    assert experiment.resources["train_gan"].time_h == 30
    assert experiment.stage_resources("aggregate").sbatch == {"mem": 0, "nice": 5}


def test_relative_paths_are_taken_from_the_file_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = tmp_path / "sites"
    sites.mkdir()
    (sites / "here.yaml").write_text("cluster: {container: {image: ../a.sif}}\n")
    config = tmp_path / "x.yaml"
    config.write_text(
        "name: x\ncluster: sites/here.yaml\ncohort:\n"
        "  images: {kind: folder, folder: data, table: ~/people.csv, in_common_space: true}\n"
        "  labels: {kind: table, protocol: gansfer}\n"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", "/home/anna")
    found = []
    for folder, path in ((tmp_path, Path("x.yaml")), (elsewhere, Path("../x.yaml"))):
        monkeypatch.chdir(folder)
        found.append(load_experiment(path))
    assert found[0] == found[1]
    assert found[0].storage == f"{tmp_path}/runs"
    assert found[0].cluster.container.image == f"{tmp_path}/a.sif"
    assert {path for _, path, _ in found[0].cohort.places()} == {
        f"{tmp_path}/data",
        "/home/anna/people.csv",
    }
