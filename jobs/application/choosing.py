"""Which cell's segmenter is used: the one that was asked for, or the one to be expected best."""

from __future__ import annotations

from gansfer.cohort.shards import Cohort
from gansfer.errors import UserError
from gansfer.report.tables.ratio_choice import ratio_by_rule
from jobs.experiment.arms import BASELINE
from jobs.experiment.plan import Task
from jobs.stages.inputs import analysis_fold_of
from jobs.store.ledger import Ledger

_MOST_NAMED = 12


def segmenter_of(ledger: Ledger, where: str | None) -> tuple[Task, str]:
    """The task of a trained segmenter, and why it is this one.

    Without a cell: of the first seed, the most labelled subjects; the arm whose ratio is nearest to
    `analysis.ratio_from_labels` (no test subject chooses it), else the baseline; the fold whose
    models segment the cohort (III.G).

    Args:
        ledger: of the experiment.
        where: such as `fold-0/labels-06/ratio-2to1`, a seed before it is optional; None: choose.

    Raises:
        UserError: there is no such segmenter, or it is not trained.
    """
    tasks = ledger.plan.of_stage("train_segmenter")
    if where is None:
        return _default(ledger, [task for task in tasks if ledger.done(task)])
    wanted = ledger.plan.experiment.grid.with_seed(where)
    task = ledger.plan.by_id.get(f"train_segmenter/{wanted}")
    if task is None:
        there = ["/".join(one.cell.parts) for one in tasks]
        more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
        raise UserError(
            f"--cell {where}: no such segmenter, expected one of {', '.join(there[:_MOST_NAMED])}"
            f"{more}"
        )
    finding = ledger.finding(task)
    if finding.state != "done":
        why = f" ({finding.why})" if finding.why else ""
        raise UserError(
            f"--cell {where}: {task.id} is {finding.state}{why}, expected done; run the experiment "
            "up to the stage train_segmenter first"
        )
    return task, "as asked"


def _default(ledger: Ledger, done: list[Task]) -> tuple[Task, str]:
    experiment = ledger.plan.experiment
    if not done:
        raise UserError(
            f"{ledger.storage.root}: no segmenter is trained and up to date; run the experiment up "
            "to the stage train_segmenter, or see gansfer plan"
        )
    seed = next(one for one in experiment.grid.seeds if any(t.cell.seed == one for t in done))
    of_seed = [task for task in done if task.cell.seed == seed]
    labels = max(task.cell.labels or 0 for task in of_seed)
    candidates = [task for task in of_seed if task.cell.labels == labels]
    arm, arm_why = _default_arm(candidates, labels, experiment.analysis.ratio_from_labels)
    candidates = [task for task in candidates if task.cell.arm and task.cell.arm.name == arm]
    fold, fold_why = analysis_fold_of(experiment, Cohort(ledger.storage.cohort))
    task = next((one for one in candidates if one.cell.fold == fold), candidates[0])
    if task.cell.fold != fold:
        fold_why = f"fold {fold} is not trained"
    return task, f"no --cell was given: most labelled subjects; {arm_why}; {fold_why}"


def _default_arm(
    candidates: list[Task], labels: int, ratio_from_labels: dict[int, str]
) -> tuple[str, str]:
    """The name of the arm to be expected best, and why."""
    arms = [task.cell.arm for task in candidates if task.cell.arm is not None]
    ratios = dict.fromkeys(arm.name for arm in arms if arm.phases == (2, 3) and arm.ratio)
    if ratios:
        return (
            ratio_by_rule(labels, ratios, ratio_from_labels),
            "ratio nearest to analysis.ratio_from_labels",
        )
    names = [arm.name for arm in arms]
    return (BASELINE, "no ratio is trained") if BASELINE in names else (names[0], "the only arm")
