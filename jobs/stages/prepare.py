"""The stage `prepare`: raw images become shards in the common space (III.A)."""

from __future__ import annotations

from gansfer.cohort.table import TABLE_NAME
from gansfer.cohort.writing import write_cohort
from jobs.inputs.sources import make_source
from jobs.inputs.template import input_stamps
from jobs.stages.context import Context, Outcome
from jobs.stages.preparation import prepared_subjects
from jobs.store.partial_results import remove_parts
from jobs.store.source_files import INPUT_FILES


def prepare(context: Context) -> Outcome:
    """Raw images become shards in the common space (III.A)."""
    cohort, source = context.experiment.cohort, make_source(context.experiment)
    folder, files = context.files.folder, input_stamps(cohort, source)
    rows = write_cohort(
        folder,
        prepared_subjects(
            context.experiment,
            source,
            folder,
            context.task.fingerprint,
            context.watch,
        ),
        structures=cohort.structures,
        roi=cohort.roi,
        software="gansfer",  # the manifest has the version: a new one must not change the shards
    )
    remove_parts(folder)
    shards = {row.shard for row in rows} | {row.reference_shard for row in rows}
    facts = {
        "subjects": len(rows),
        "labelled": sum(row.subject.labelled for row in rows),
        "label_voxels_outside_roi": sum(row.n_label_voxels_outside_roi or 0 for row in rows),
        INPUT_FILES: files,
    }
    return Outcome((TABLE_NAME, *sorted(name for name in shards if name)), facts)
