"""Files of judgements: their rows, checked, and the qrels that they make."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import Qrels
from rerank_search.judged.findings import Finding, Tally, findings
from rerank_search.judged.formats.lines import check_id

_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")


class Judgement(NamedTuple):
    """One row of a file of judgements, on the line ``line``, counted from 1."""

    line: int
    query: str
    document: str
    grade: int


@dataclass(frozen=True, slots=True)
class JudgementFile:
    """A file of judgements: ``rows`` reads it from the start, ``shown`` is its name in findings."""

    path: Path
    shown: str
    rows: Callable[[], Iterator[Judgement]]

    def qrels(self) -> tuple[Qrels, list[Finding]]:
        """All judgements in the order of the file, and findings about them.

        Grades below 0 are kept; like 0 they mean not relevant, as in trec_eval. A repeated
        judgement counts once. Raises InvalidInputError for a file without judgements, for two
        different grades of one document for one query, and for an id with a control character.
        """
        repeated = Tally("repeated judgements")
        qrels: dict[str, dict[str, int]] = {}
        for row in self.rows():
            where = f"{self.path}, line {row.line}"
            check_id(row.query, "query", where)
            check_id(row.document, "document", where)
            judged = qrels.setdefault(row.query, {})
            if row.document not in judged:
                judged[row.document] = row.grade
                continue
            first = self._first_line(row.query, row.document)
            case = f"document {row.document!r} for query {row.query!r}, as in line {first}"
            if judged[row.document] != row.grade:
                raise InvalidInputError(
                    f"{where}: grade {row.grade} of {case}, which has the grade "
                    f"{judged[row.document]}: keep one of the two lines"
                )
            repeated.add(f"{self.shown}, line {row.line}: {case}")
        if not qrels:
            raise InvalidInputError(f"{self.path} has no judgements: give the complete file")
        return qrels, findings([repeated])

    def located(self, query: str, document: str) -> str:
        """File and line of a judgement. Reads the file again."""
        return f"{self.shown}, line {self._first_line(query, document)}"

    def _first_line(self, query: str, document: str) -> int:
        for row in self.rows():
            if row.query == query and row.document == document:
                return row.line
        raise InvalidInputError(f"{self.path} has no judgement of {document!r} for {query!r}")


def grade_of(text: str, where: str) -> int:
    """A grade: a whole number. Raises InvalidInputError; ``where`` is file and line."""
    if not _INTEGER.fullmatch(text):
        raise InvalidInputError(
            f"{where}: the grade {text!r} is not an integer: write 0 for not relevant, and 1, 2, "
            "... for relevant"
        )
    return int(text)
