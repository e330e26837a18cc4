"""Writes a report into a folder."""

from __future__ import annotations

from pathlib import Path

from rerank_search.evaluation.report import per_query, schema
from rerank_search.evaluation.report.build import build_report
from rerank_search.evaluation.report.html import html
from rerank_search.evaluation.report.markdown import markdown
from rerank_search.evaluation.report.schema import Report
from rerank_search.evaluation.results import FinishedRun
from rerank_search.files import atomic_write_bytes, make_folder


def write_report(directory: Path, run: FinishedRun) -> Report:
    """Write report.json, report.md, report.html and per_query.csv into ``directory``.

    Each file is replaced atomically. The page comes last, so that without matplotlib or jinja2
    (MissingDependencyError) the figures are there anyway. Raises StorageFullError,
    IndexReadOnlyError.
    """
    make_folder(directory)
    report = build_report(run)
    per_query.write_per_query(directory / per_query.NAME, run)
    figures = report.model_dump_json(indent=1) + "\n"
    atomic_write_bytes(directory / schema.NAME, figures.encode())
    atomic_write_bytes(directory / "report.md", markdown(report).encode())
    atomic_write_bytes(directory / "report.html", html(report, run).encode())
    return report
