"""The whole report: tables, figures and the page, from one table of metrics."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from gansfer.progress import duration
from gansfer.report.figures.draw import draw_figures
from gansfer.report.figures.quality_figures import draw_quality_figures
from gansfer.report.page.answers import (
    answer_sentence,
    answers,
    how_picked,
    how_to_read,
    pick_sentence,
    picks,
)
from gansfer.report.page.best_section import best_section
from gansfer.report.page.cohort_sections import cohort_section, stratification_section
from gansfer.report.page.page import Bullets, Page, Part, Section, Terms, write_page
from gansfer.report.page.pictures import Picture, picture_sections
from gansfer.report.page.quality_sections import quality_section
from gansfer.report.page.result_sections import facts, key_section, ratio_rule
from gansfer.report.page.rival_section import methods_section, rival_section
from gansfer.report.page.seed_section import seed_section
from gansfer.report.page.structure_sections import (
    ablation_section,
    distance_section,
    structure_section,
)
from gansfer.report.page.table_pictures import draw_tables
from gansfer.report.page.training_parts import failed_quality_line, training_parts
from gansfer.report.tables.completeness import completeness_line, missing_files, missing_in_words
from gansfer.report.tables.quality_tables import quality_tables
from gansfer.report.tables.results import BEST_FOLDER, Meta, Results, compute
from gansfer.report.tables.rows import write_tables
from gansfer.report.viewer.segmentation_section import ReadSubject, segmentation_section
from gansfer.report.viewer.shown_subjects import shown_subjects

_LOG = logging.getLogger(__name__)
_GLOSSARY = (
    ("Dice (DSC)", "overlap of two segmentations: 0 none, 1 the same"),
    ("overall", "all structures as one foreground: the paper's primary measure"),
    ("N", "number of labelled images that training may use"),
    ("baseline", "the segmenter trained on the N real images alone"),
    ("2:1", "two segments from real slices for each from a synthetic one"),
    ("synthetic only", "trained on generated slices of phases 2 and 3 alone (the paper's P2&3)"),
    ("propagation", "the labels of the N images, warped onto another and fused; no network"),
    ("CDR", "clinical dementia rating: 0 healthy, 0.5 very mild, 1 mild, 2 moderate"),
    ("cell", "one trained segmenter: a fold, an N, an arm and a seed"),
)
# Of runs with rival arms.
_RIVALS_GLOSSARY = (
    (
        "classical",
        "the baseline on real slices that are deformed at random while it trains; together with "
        "synthetic slices, these are deformed as well",
    ),
    (
        "self-training",
        "the N images, and the unlabelled pool with the baseline's labels; together with synthetic "
        "slices, with the labels of the segmenter that has them",
    ),
)


@dataclass(frozen=True)
class ReportSummary:
    """What a report came to.

    Attributes:
        index: the page.
        complete: nothing that was planned is missing.
        state: the page's first lines.
        missing: one phrase for each (label count, arm, set) with missing folds, and for files.
    """

    index: Path
    complete: bool
    state: str
    missing: Sequence[str]


def build_report(
    folder: Path,
    metrics: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
    pictures: Sequence[Picture] = (),
    quality: pd.DataFrame | None = None,
    files: pd.DataFrame | None = None,
    read_subject: ReadSubject | None = None,
) -> ReportSummary:
    """Write `tables/*.csv`, `figures/*.png`, `*.pdf` and `*.csv`, and last `index.html`.

    Each file is whole or absent; files of an earlier report that this one lacks are removed. An
    earlier report with results is never replaced by one without: it is left as it is, with a
    warning.

    Args:
        folder: the report's folder.
        metrics: one row a measured value; columns `tables.COLUMNS`. May be empty.
        expected: the planned cells: seed, fold (-1: to be chosen), labels, arm, set.
        meta: what to say beside the numbers.
        labelled: every labelled subject, tested or not: subject, age_years, cdr.
        pictures: PNGs of the stages, to be shown in the page.
        quality: measures of the synthetic slices, columns `quality_tables.COLUMNS`; None: none.
        files: what the GANs are to leave for the report, there or not: columns seed, fold, labels,
            group, file and there; None: nothing.
        read_subject: gives the volumes of a test subject, to show them; None: none are shown.

    Raises:
        UserError: the metrics lack a column, or a picture is no PNG.
    """
    # Hundreds of tiny fits: threads cost them more than they bring.
    with threadpool_limits(1):
        results = compute(metrics, expected, meta, labelled)
    state = completeness_line(results.missing, expected, files)
    lacking = [] if files is None else missing_files(files)
    phrases = [*missing_in_words(results.missing, expected["seed"].nunique()), *lacking]
    index = folder / "index.html"
    if metrics.empty and (folder / "tables" / "metrics.csv").exists():
        state += " The previous report is left in place."
        _LOG.warning("%s: %s", index, state)
        return ReportSummary(index, False, state, phrases)
    written = write_tables(folder / "tables", results)
    written += write_tables(folder / "tables", results.fair)
    if results.best is not None:
        written += write_tables(folder / "tables" / BEST_FOLDER, results.best)
    figures = draw_figures(folder / "figures", results, meta)
    synthetic = None if quality is None or quality.empty else quality_tables(quality, files)
    about_synthetic = None
    if synthetic is not None:
        written += write_tables(folder / "tables", synthetic)
        figures |= draw_quality_figures(folder / "figures", synthetic, meta["structures"])
        about_synthetic = quality_section(synthetic, meta["structures"], figures)
    written += [
        png.with_suffix(end) for png in figures.values() for end in (".png", ".pdf", ".csv")
    ]
    segmentations = None
    if read_subject is not None:
        segmentations = segmentation_section(
            shown_subjects(results.metrics, results.fair.choice),
            read_subject,
            meta["structures"],
            ratio_rule(results, meta),
        )
    more = (segmentations, about_synthetic)
    sections = _sections(results, meta, figures, pictures, phrases, more)
    written += draw_tables(folder, sections)
    failed = failed_quality_line(meta.get("failed_quality", ()))
    page = Page(
        title=f"{meta['name']}: segmenting with few labels",
        state=state,
        complete=not phrases,
        answer=answer_sentence(results, meta),
        answers=answers(results, meta),
        how_to_read=how_to_read(meta, ratio_rule(results, meta)),
        lead=_lead(meta, expected),
        facts=facts(results, meta),
        sections=sections,
        footer="After Bowles, Gunn, Hammers and Rueckert, “GANsfer Learning: Combining labelled "
        "and unlabelled data for GAN based data augmentation” (2018).",
        failed=failed,
        pick=pick_sentence(results, meta),
        picks=picks(results, meta),
        how_picked=how_picked(results, meta),
    )
    write_page(index, page)
    _remove_stale(folder, set(written))
    return ReportSummary(index, not phrases, f"{state} {failed}".strip(), phrases)


def _lead(meta: Meta, expected: pd.DataFrame) -> list[str]:
    lead = [f"Data: {meta['dataset']}. {meta['pool_rule']}"]
    if not meta["is_paper_data"]:
        lead.append(
            "These are not the paper's data. Its numbers, in grey, show the shape of its result; "
            "ours are not expected to equal them."
        )
    if meta["beyond_paper"]:
        lead.append(meta["beyond_paper"])
    seeds = sorted(expected["seed"].unique().tolist())
    if len(seeds) > 1:
        lead.append(
            f"Seeds {', '.join(map(str, seeds))}: a subject's values are averaged over seeds "
            "before anything else, so n counts subjects; arms are compared at the seeds that "
            "both have."
        )
    return lead


def _sections(
    results: Results,
    meta: Meta,
    figures: Mapping[str, Path],
    pictures: Sequence[Picture],
    missing: Sequence[str],
    more: tuple[Section | None, Section | None],
) -> list[Section]:
    """All of the page.

    Args:
        results: the tables.
        meta: what to say beside the numbers.
        figures: name -> PNG.
        pictures: of the stages.
        missing: a phrase each.
        more: what is not made of tables alone: segmentations, and the synthetic slices' quality.
    """
    segmentations, about_synthetic = more
    measured = [
        key_section(results, meta, figures),
        methods_section(results, meta, figures),
        segmentations,
        structure_section(results.fair, meta, figures),
        seed_section(results, figures),
        ablation_section(results, meta),
        rival_section(results.fair.rival, figures),
        cohort_section(results, results.fair, meta, figures),
        stratification_section(results.fair, meta),
        distance_section(results, results.fair.choice.test, meta["structures"]),
        best_section(results, meta, figures),
        about_synthetic,
    ]
    sections = [section for section in measured if section is not None]
    sections += picture_sections(pictures, meta["analysis_fold"])
    parts: list[Part] = [
        Terms(_GLOSSARY + (() if results.methods.empty else _RIVALS_GLOSSARY), "Words")
    ]
    if meta["wall_s"]:
        times = [(stage, duration(seconds)) for stage, seconds in meta["wall_s"].items()]
        parts.append(Terms(times, "Computing time by stage"))
    parts += training_parts(meta)
    parts.append(Terms(list(meta["versions"].items()), "Versions"))
    fold = "none yet" if meta["analysis_fold"] is None else f"fold {meta['analysis_fold']}"
    choices = [
        ("analysis fold", f"{fold}. {meta['analysis_reason']}".strip()),
        ("unlabelled pool", meta["pool_rule"]),
        ("structures", ", ".join(meta["structures"])),
    ]
    parts.append(Terms(choices, "Choices"))
    if missing:
        parts.append(Bullets(f"Everything that is missing ({len(missing)})", missing, open=True))
    sections.append(Section("How this report came about", [], parts))
    return sections


def _remove_stale(folder: Path, written: set[Path]) -> None:
    for name in ("tables", "figures"):
        for path in (folder / name).rglob("*.*"):
            if path.suffix in {".csv", ".png", ".pdf"} and path not in written:
                path.unlink()
