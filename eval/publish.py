"""Copies the report of an experiment to the published results.

Usage: python eval/publish.py runs/evaluation/NAME [--card MODEL] [--versions OLD NEW]

Writes eval/results/NAME.md and NAME.json: figures and ids, no text of a collection. --card also
writes the table of the stages' figures into the model card of a bundled reranker. --versions
begins with a table of two rerankers on all collections, fused and alone ("OLD-logit").
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import RESULTS, table

from rerank_search.evaluation.report.schema import Report, SystemReport, read_report, significant
from rerank_search.files import atomic_write_bytes
from rerank_search.models.registry import BUNDLED_RERANKERS, resolve_reranker

HEADING = "\n## Figures\n"

_OF_A_MODEL = re.compile(r"\((?:[^()\n]*/)?([^/()\n]+?)(?:\.tmp)?, (float\d+|bfloat16)\)")


def portable(text: str) -> str:
    """A report without the local folders of its models."""
    return _OF_A_MODEL.sub(r"(\1, \2)", text)


def summary(report: Report) -> dict[str, object]:
    """The report without figures that can be computed from per_query.csv."""
    content = report.model_dump(mode="json")
    content["comparisons"] = [
        comparison
        for comparison in content["comparisons"]
        if comparison["measure"] == report.primary
    ]
    return content


def figures(report: Report, model: str) -> str:
    """The effect of the model on each first stage, as a section of its card."""
    rows = [
        [
            system.key,
            system.n_queries,
            system.first_stage_name,
            f"{system.protocols['first_stage'][report.primary]:.3f}",
            f"{system.protocols['retrieved'][report.primary]:.3f}",
            change(report, system),
            f"{system.protocols['oracle'][report.primary]:.3f}",
        ]
        for system in report.systems
        if system.reranker == model
    ]
    headers = ["collection", "queries", "first stage", "alone", "reranked", "change", "oracle"]
    what = (
        f"{report.primary} of each first stage's candidates, before and after they are reranked "
        "(with the fusion), and in the best possible order. p: paired "
        f"{report.statistics.test} test over queries, corrected by Holm's method for all pairs of "
        f"rankings of the collection; bold where p < {1 - report.statistics.confidence:.2g}."
    )
    return f"{what}\n\n{table(headers, rows)}\n"


def versions(report: Report, old: str, new: str) -> str:
    """Both rerankers on each collection and first stage, fused and alone, as a section."""
    cells = {
        (system.key, system.first_stage_name, system.reranker): system for system in report.systems
    }
    rows = []
    for key, first_stage in dict.fromkeys((key, stage) for key, stage, _ in cells):
        fused = [cells[key, first_stage, name] for name in (old, new)]
        alone = [cells[key, first_stage, f"{name}-logit"] for name in (old, new)]
        rows.append(
            [
                key,
                fused[0].n_queries,
                first_stage,
                f"{fused[0].protocols['first_stage'][report.primary]:.3f}",
                *compared(report, *fused),
                *compared(report, *alone),
            ]
        )
    headers = ["collection", "queries", "first stage", "its own", old, new, "change"]
    headers += [f"{old} alone", f"{new} alone", "change"]
    what = (
        f"{report.primary} of the first stage, and of both rerankers with the fusion and by their "
        f"logit alone. p: paired {report.statistics.test} test over queries, corrected by Holm's "
        "method for all pairs of rankings of the collection; bold where p < "
        f"{1 - report.statistics.confidence:.2g}."
    )
    return f"\n## Both versions\n\n{what}\n\n{table(headers, rows)}\n"


def compared(report: Report, old: SystemReport, new: SystemReport) -> Sequence[str]:
    """The figures of two systems on the same queries, and their difference with its p."""
    before, after = (each.protocols["retrieved"][report.primary] for each in (old, new))
    [p] = [
        each.p_holm
        for each in report.comparisons
        if {each.ours, each.theirs} == {old.name, new.name}
        and (each.collection, each.split, each.measure)
        == (old.collection, old.split, report.primary)
    ]
    shown = f"{after - before:+.3f} (p = {p:.3f})"
    if significant(p, report.statistics):
        shown = f"**{shown}**"
    return [f"{before:.3f}", f"{after:.3f}", shown]


def change(report: Report, system: SystemReport) -> str:
    """The difference to the first stage, with its p."""
    comparison = report.comparison(system, report.primary)
    if comparison is None:
        return ""
    shown = f"{comparison.difference:+.3f} (p = {comparison.p_holm:.3f})"
    return f"**{shown}**" if significant(comparison.p_holm, report.statistics) else shown


def main() -> None:
    """Publish one report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--card", choices=BUNDLED_RERANKERS)
    parser.add_argument("--versions", nargs=2, metavar=("OLD", "NEW"))
    arguments = parser.parse_args()
    report = read_report(arguments.folder / "report.json")
    written = (arguments.folder / "report.md").read_text(encoding="utf-8")
    if arguments.versions:
        head, body = written.split("\n## ", 1)
        written = f"{head}{versions(report, *arguments.versions)}\n## {body}"
    atomic_write_bytes(RESULTS / f"{report.name}.md", portable(written).encode())
    text = json.dumps(summary(report), indent=1)
    atomic_write_bytes(RESULTS / f"{report.name}.json", f"{text}\n".encode())
    if arguments.card:
        card = Path(resolve_reranker(arguments.card)) / "README.md"
        own = card.read_text(encoding="utf-8").split(HEADING)[0].rstrip()
        section = figures(report, arguments.card)
        atomic_write_bytes(card, f"{own}\n{HEADING}\n{section}".encode())


if __name__ == "__main__":
    main()
