"""`--set KEY=VALUE`: as the file would have it, in place of what the file has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gansfer.errors import UserError
from gansfer.gan_settings import GanSettings
from jobs.experiment.loading import load_experiment, save_experiment
from jobs.experiment.model import Experiment
from tests.jobs.experiments import Trial


def loaded(folder: Path, *settings: str, **sections: Any) -> Experiment:
    return load_experiment(Trial.make(folder, **sections).config, settings)


def refused(folder: Path, *settings: str) -> str:
    with pytest.raises(UserError) as caught:
        loaded(folder, *settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_are_read_as_in_the_file(tmp_path: Path) -> None:
    experiment = loaded(
        tmp_path,
        "gan.phase_2.images=48000",
        "grid.label_counts=[1, 2]",
        "grid.ratios=[10:1]",
        "grid.ablation={fold: 0, label_count: 1}",
        "gan.learning_rate=1.5e-3",
        "run.device=cpu",
        "cluster.account=007",
        "resources.train_gan.time_h=24:00:00",
        "cohort.roi.voxel_mm=4",
    )
    assert experiment.gan.phase_2.images == 48000
    assert experiment.grid.label_counts == (1, 2) and experiment.grid.ratios == ("10:1",)
    assert experiment.grid.ablation is not None and experiment.grid.ablation.fold == 0
    assert experiment.gan.learning_rate == 1.5e-3
    assert experiment.cluster.account == "007"
    assert experiment.stage_resources("train_gan").time_h == 24
    assert experiment.gan.phase_2.warmup_cycles == 1, "what stands beside it in the file stays"


def test_a_section_is_replaced_as_a_whole_and_the_last_setting_counts(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, "gan.phase_1={}", "seed=1", "seed=2")
    assert experiment.seed == 2
    assert experiment.gan.phase_1 == GanSettings().phase_1


def test_sizes_in_pixels_are_keys(tmp_path: Path) -> None:
    sizes = {"minibatch": {5: 4, 10: 4, 20: 4}}
    assert loaded(tmp_path, "gan.minibatch.20=2", gan=sizes).gan.minibatch == {5: 4, 10: 4, 20: 2}


def test_paths_begin_where_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "site.yaml").write_text("cluster: {partition: gpu, account: us}\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("GANSFER_PLACE", "there")
    settings = ("storage=../${GANSFER_PLACE}", "cluster=site.yaml", "cluster.account=them")
    experiment = loaded(tmp_path / "files", *settings)
    assert experiment.storage == f"{tmp_path}/there"
    assert (experiment.cluster.partition, experiment.cluster.account) == ("gpu", "them")
    images = "cohort.images={kind: folder, folder: ., table: t.csv, in_common_space: true}"
    labels = "cohort.labels={kind: table, protocol: gansfer}"
    cohort = loaded(tmp_path / "files", images, labels, "cohort.references.kind=none").cohort
    assert dict((key, path) for key, path, _ in cohort.places()) == {
        "images.folder": f"{tmp_path}/here",
        "images.table": f"{tmp_path}/here/t.csv",
    }


def test_a_profile_that_the_file_names_stays_beside_a_setting(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("cluster: {partition: gpu, account: us}\n")
    experiment = loaded(tmp_path, "cluster.account=them", cluster="site.yaml")
    assert (experiment.cluster.partition, experiment.cluster.account) == ("gpu", "them")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("gan.phse_2.images=1", "gan.phse_2 is not a setting; did you mean 'phase_2'?"),
        ("gan.phase_2.image=1", "gan.phase_2.image is not a setting; did you mean 'images'?"),
        ("sed=1", "sed is not a setting; did you mean 'seed'?"),
        ("seed=one", "seed: input should be a valid integer"),
        ("seed", "expected KEY=VALUE with a key of the experiment file, such as gan.phase_2"),
        ("=1", "expected KEY=VALUE"),
        ("gan..images=1", "expected KEY=VALUE"),
        ("grid.label_counts=[1,", "mend the YAML there"),
        ("seed=!!python/object:x", "the tag !!python/object:x has no meaning here"),
        ("seed=${GANSFER_NOWHERE}", "environment variable GANSFER_NOWHERE is not set"),
        ("gan.minibatch.20=8", "the experiment gives gan.minibatch as 4, which has no keys; set"),
        ("cluster=none.yaml", "none.yaml: no such experiment file"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_setting(
    tmp_path: Path, setting: str, told: str
) -> None:
    said = refused(tmp_path, setting)
    assert told in said
    assert f"--set {setting}" in said or "no such experiment file" in said


def test_the_saved_experiment_is_the_one_that_was_set(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, "gan.phase_2.images=48")
    save_experiment(experiment, tmp_path / "saved.yaml")
    assert yaml.safe_load((tmp_path / "saved.yaml").read_text())["gan"]["phase_2"]["images"] == 48
    assert load_experiment(tmp_path / "saved.yaml") == experiment
