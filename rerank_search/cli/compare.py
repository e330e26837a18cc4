"""``rerank-search compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rerank_search.cli.output import Json, note, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from rerank_search.evaluation.comparison import Change, PairChange, ReportComparison

LOSS = 1


def compare(
    before: Annotated[
        Path,
        typer.Argument(metavar="BEFORE", help="report.json of the earlier run, or its folder."),
    ],
    after: Annotated[
        Path, typer.Argument(metavar="AFTER", help="report.json of the later run, or its folder.")
    ],
    measure: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Measure that decides; by default the primary measure of AFTER."
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="Do not fail if AFTER lacks rankings or queries of BEFORE."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what changed between two evaluations.

    The exit code is 1 on a significant loss, and if AFTER lacks a ranking or a query of BEFORE.
    """
    from rerank_search.evaluation.compare import compare_reports

    found = compare_reports(before, after, measure=measure)
    if as_json:
        print_json(found)
    else:
        shown = found.by(found.primary)
        if shown:
            print_table(_table(found.primary, shown))
        if found.pairs:
            print_table(_pairs_table(found.pairs))
        _notes(found, shown)
    missing = [] if allow_missing else list(_missing(found))
    if missing:
        note(
            f"{after} lacks results of {before} ({'; '.join(missing)}), which may hide a loss: "
            "evaluate it again, or accept this with --allow-missing"
        )
    if found.losses or missing:
        raise typer.Exit(LOSS)


def _missing(found: ReportComparison) -> Iterator[str]:
    """Descriptions of what only the earlier report has."""
    if found.only_before:
        yield f"rankings or classifiers: {len(found.only_before):,}"
    for key, count in found.missing_queries.items():
        yield f"queries of {key}: {count:,}"


def _table(measure: str, changes: Sequence[Change]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    colours = {"gain": "green", "loss": "red", "no significant change": "dim"}
    table = Table(box=SIMPLE_HEAD, title=measure, title_justify="left")
    for name in ("collection", "system", "protocol"):
        table.add_column(name, overflow="fold")
    for name in ("before", "after", "change", "p (Holm)"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    for change in changes:
        table.add_row(
            Text(f"{change.collection}/{change.split}"),
            Text(change.system),
            change.protocol.replace("_", " "),
            f"{change.before:.3f}",
            f"{change.after:.3f}",
            f"{change.difference:+.3f}",
            f"{change.p_holm:.3f}",
            Text(change.verdict, style=colours[change.verdict]),
        )
    return table


def _pairs_table(changes: Sequence[PairChange]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, title="labelled pairs (not tested)", title_justify="left")
    for name in ("collection", "reranker", "figure"):
        table.add_column(name, overflow="fold")
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    for change in changes:
        table.add_row(
            Text(f"{change.collection}/{change.split}"),
            Text(change.reranker),
            change.measure.replace("_", " "),
            f"{change.before:.4f}",
            f"{change.after:.4f}",
            f"{change.difference:+.4f}",
        )
    return table


def _notes(found: ReportComparison, shown: Sequence[Change]) -> None:
    left_out = {f"{change.collection}/{change.split}": change.left_out for change in shown}
    for key, count in left_out.items():
        if count:
            note(f"{key}: queries skipped because only one report has them: {count:,}")
    if found.pairs:
        note(
            "labelled pairs: not tested and no reason to fail, because reports have no values per "
            "pair"
        )
    for text in found.notes:
        note(text)
    for names, where in ((found.only_before, "before"), (found.only_after, "after")):
        for name in names:
            note(f"{name}: only in the report {where}")
