"""A table in Markdown, for reports, model cards and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> str:
    """The lines of a table. Its first ``words`` columns are words, the others are figures.

    The caller escapes cells for Markdown.
    """
    rule = ["---" if number < words else "---:" for number in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
