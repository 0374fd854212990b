"""Names and paths stay single words on their way through sbatch, the wrapper and the container."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gansfer.errors import UserError
from jobs.experiment.loading import parse_experiment
from jobs.experiment.model import Experiment
from jobs.experiment.plan import make_plan
from jobs.slurm.arrays import arrays_to_submit
from jobs.slurm.container import container_command
from jobs.slurm.submission import script_for
from jobs.store.storage import Storage
from tests.jobs.experiments import ROOT
from tests.jobs.stand_in import BASE

# Whatever a shell may take for more than a letter.
WORDS = st.text(" \"'$`;&|<>()\\*?~#!{}[]%=^@ab-\u00e4", min_size=1, max_size=12)
quickly = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def experiment_of(folder: Path, **sections: Any) -> Experiment:
    return parse_experiment({**BASE, "storage": str(folder), **sections}, str(folder / "one.yaml"))


def scripts_of(experiment: Experiment) -> list[str]:
    """The scripts of every array."""
    plan, storage = make_plan(experiment), Storage(experiment)
    arrays = arrays_to_submit(plan, {task.id for task in plan.tasks}, 1000)
    return [script_for(array, "one.name", ["7"], experiment, storage) for array in arrays]


def words_run(script: str) -> list[str]:
    """What bash would run in place of itself at the end of a script."""
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    told = "exec() { printf '%s\\0' \"$@\"; exit; }; " + script
    ran = subprocess.run(["bash", "-c", told], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return ran.stdout.split("\0")[:-1]


@quickly
@given(storage=WORDS, image=WORDS, option=WORDS, partition=WORDS)
def test_the_wrapper_is_given_each_path_and_option_as_one_word(
    tmp_path: Path, storage: str, image: str, option: str, partition: str
) -> None:
    file = tmp_path / f"{image}.sif"
    file.touch()
    cluster = {
        "partition": partition,
        "sbatch": {"comment": option},
        "container": {"image": str(file), "options": [option], "command": f"/opt/{option}"},
    }
    experiment = experiment_of(tmp_path / storage, cluster=cluster)
    kept = Storage(experiment)
    (script, *_) = scripts_of(experiment)
    inside = container_command(experiment, kept)
    assert inside is not None and inside[0] == f"/opt/{option}" and option in inside
    assert f"{kept.root}:{kept.root}" in inside and str(file) in inside
    wrapper = str(kept.submissions / "in_job.sh")
    call = ["-u", "-m", "submitit.core._submit", str(kept.submissions / "%A")]
    assert words_run(script) == ["bash", wrapper, "20", *inside, *call]
    asked = [shlex.split(line)[1:] for line in script.splitlines() if line.startswith("#SBATCH")]
    assert [f"--partition={partition}"] in asked
    assert [f"--comment={option}"] in asked
    assert all(len(one) == 1 for one in asked)


@quickly
@given(words=st.lists(WORDS, max_size=4), scratch=WORDS)
def test_the_wrapper_gives_the_command_its_words(
    tmp_path: Path, words: list[str], scratch: str
) -> None:
    wrapper = ROOT / "jobs" / "slurm" / "in_job.sh"
    (tmp_path / scratch).mkdir(exist_ok=True)
    tell = "import os, sys; sys.stdout.write(chr(0).join([os.environ['TMPDIR'], *sys.argv[1:]]))"
    ran = subprocess.run(
        ["bash", str(wrapper), "3", sys.executable, "-S", "-c", tell, *words],
        env={**os.environ, "SLURM_JOB_ID": "5", "TMPDIR": str(tmp_path / scratch)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split("\0") == [str(tmp_path / scratch), *words]


@quickly
@given(name=st.one_of(WORDS, st.text(max_size=8), st.from_regex(r"[\w.-]{1,8}\s?", fullmatch=True)))
def test_a_name_that_is_taken_needs_no_quoting(tmp_path: Path, name: str) -> None:
    try:
        experiment = experiment_of(tmp_path, name=name)
    except UserError:
        return
    assert shlex.quote(experiment.name) == name
    assert Storage(experiment).root.parent == tmp_path


@quickly
@given(structure=WORDS)
def test_structures_and_files_of_the_cohort_reach_no_script(tmp_path: Path, structure: str) -> None:
    def scripts(name: str) -> list[str]:
        images = {"kind": "folder", "folder": f"/data/{name}", "table": f"/data/{name}.csv"}
        labels = {"kind": "table", "protocol": {name: [1], "white_matter": [2]}}
        cohort = {"images": {**images, "template": "/t.nii"}, "labels": labels}
        return scripts_of(experiment_of(tmp_path, cohort={**cohort, "structures": [name]}))

    try:
        found = scripts(structure)
    except UserError:
        return  # a name that is refused reaches nothing
    assert found == scripts("plain")


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"storage": "/data/a\nrm -r b"}, "storage: '/data/a\\nrm -r b' has a line break"),
        ({"cluster": {"partition": "a\nb"}}, "cluster.partition: 'a\\nb' has a line break"),
        ({"cluster": {"sbatch": {"comment": "a\rb"}}}, "cluster.sbatch: 'a\\rb' has a line break"),
        ({"cluster": {"sbatch": {"a\nb": 1}}}, "cluster.sbatch: 'a\\nb' has a line break"),
        ({"cluster": {"sbatch": {"a b": 1}}}, "cluster.sbatch: 'a b' is no option of sbatch"),
        (
            {"cluster": {"container": {"options": ["\x1b"]}}},
            "cluster.container: '\\x1b' has",
        ),
        ({"resources": {"train_gan": {"qos": "a\0"}}}, "resources.train_gan.qos: 'a\\x00' has a"),
    ],
)
def test_a_line_break_is_refused_before_it_begins_a_line_of_a_script(
    tmp_path: Path, sections: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError) as refused:
        parse_experiment({**BASE, "storage": str(tmp_path), **sections}, "one.yaml")
    assert told in str(refused.value)


def test_lines_of_set_up_are_the_sites_own(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, cluster={"setup": ["module load a\nmodule load b"]})
    assert "\nmodule load a\nmodule load b\n" in scripts_of(experiment)[0]


@pytest.mark.parametrize("name", ["a,b", "a:b"])
def test_a_folder_that_apptainer_cannot_bind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "image.sif").touch()
    container = {"container": {"image": str(tmp_path / "image.sif")}}
    experiment = experiment_of(tmp_path / name, cluster=container)
    with pytest.raises(UserError, match="cannot bind a path with a comma or a colon"):
        scripts_of(experiment)
