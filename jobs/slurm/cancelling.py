"""Ending an experiment's jobs: our own, on whichever cluster they are; others can only be named."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gansfer.errors import UserError
from jobs.slurm import scheduler
from jobs.slurm.job_record import JobRecord
from jobs.slurm.submitted_jobs import SubmittedJobs

_GONE = re.compile("invalid job id|job/step already completing or completed", re.IGNORECASE)


def cancel_jobs(record: JobRecord, submitted: SubmittedJobs, task_ids: Sequence[str]) -> int:
    """End the last jobs of these tasks, and give up those that SLURM does not list.

    Args:
        record: where what is given up is written down.
        submitted: what is known of the jobs.
        task_ids: in the order in which their jobs are to end.

    Returns:
        How many jobs were ended.

    Raises:
        UserError: scancel refused, or some are another user's: ours have ended then.
    """
    others = [task_id for task_id in task_ids if submitted.is_others(task_id)]
    ours = [task_id for task_id in task_ids if not submitted.is_others(task_id)]
    elements: dict[str, list[str]] = {}
    for task_id in ours:
        submission, index = submitted.last[task_id]
        element = submission.element(index)
        if element is not None and submitted.job(task_id) is not None:
            elements.setdefault(submission.clusters, []).append(element)
    for clusters, ids in elements.items():
        scheduler.cancel(ids, clusters)
    unlisted = {submitted.last[t][0].name: submitted.last[t][0] for t in ours}
    for submission in unlisted.values():
        if submitted.lists(submission):
            continue
        if submission.job is not None:
            try:  # it may be where we cannot look
                scheduler.cancel([submission.job], submission.clusters)
            except UserError as error:
                if not _GONE.search(str(error)):
                    raise
        record.give_up(submission)
    if others:
        users = sorted({submitted.last[task_id][0].user for task_id in others})
        raise UserError(
            f"{len(others)} jobs are those of {', '.join(users)}, who alone may cancel them: "
            + "; ".join(sorted({submitted.last[task_id][0].shown for task_id in others}))
            + (f"; {len(ours)} of yours are cancelled" if ours else "")
        )
    return len(ours)
