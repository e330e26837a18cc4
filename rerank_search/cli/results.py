"""A ranking as a table for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from rich.table import Table
from rich.text import Text

from rerank_search.shown import counted, on_one_line
from rerank_search.storage.boundaries import beginning
from rerank_search.types import ExplainedResponse, Hit, SearchResponse, Span

_SNIPPET = 160


Matches: TypeAlias = Callable[[str, Sequence[str]], list[list[Span]]]
"""A function that says where in each text the words of a query stand, as ``Index.matches``."""


def results_table(explained: ExplainedResponse, matches: Matches) -> Table:
    """The hits: rank, move since the first stage, text and score. Words that match are bold."""
    response, before = explained.response, explained.first_stage_ranks
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(justify="right", style="bold")
    if response.reranked:
        table.add_column(justify="right")
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    for hit in response.hits:
        moved = [movement(hit, before)] if response.reranked else []
        text = _text(hit, partial(matches, response.query))
        table.add_row(str(hit.rank), *moved, text, f"{hit.score:.3f}")
    return table


def movement(hit: Hit, before: Mapping[str, int]) -> Text:
    """The number of ranks that the second stage moved a hit up or down, as text."""
    rise = before[hit.id] - hit.rank
    if rise == 0:
        return Text("=", style="dim")
    return Text(f"↑{rise}", style="green") if rise > 0 else Text(f"↓{-rise}", style="red")


def summary(response: SearchResponse) -> str:
    """One line about what was done and how long it took."""
    if not response.hits:
        return "nothing found"
    done = f"{counted(response.candidates, 'candidate')} by {response.first_stage}"
    if response.reranked:
        done += f", {response.reranked_count} reranked"
        if response.truncated:
            done += f" ({response.truncated} cut to the model's window)"
    elif response.degraded:
        done += f", not reranked: {response.degraded}"
    times = ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in response.timings.items())
    return f"{done}. {times}"


def _text(hit: Hit, matches: Callable[[Sequence[str]], list[list[Span]]]) -> Text:
    text = Text(on_one_line(hit.id), style="bold")
    document = hit.document
    if document is None:
        return text
    lines = []
    if document.title and document.title != hit.id:
        lines.append((_shortened(document.title), "not bold cyan"))
    start, end = hit.span or (0, len(document.text))
    for passage in [each.text for each in hit.passages] or [document.text[start:end]]:
        lines.append((_shortened(passage), "not bold dim"))
    lines = [(line, style) for line, style in lines if line]
    for (line, style), spans in zip(lines, matches([line for line, _ in lines]), strict=True):
        shown = Text(line, style)
        for first, last in spans:
            shown.stylize("bold not dim", first, last)
        text.append("\n").append_text(shown)
    if hit.duplicates:
        names = ", ".join(map(on_one_line, hit.duplicates))
        text.append(f"\nnearly the same: {names}", style="not bold dim")
    return text


def _shortened(text: str) -> str:
    flat = on_one_line(text[: 4 * _SNIPPET])
    return flat if len(flat) <= _SNIPPET else f"{beginning(flat, _SNIPPET - 1)}…"
