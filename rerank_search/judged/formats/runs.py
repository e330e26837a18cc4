"""TREC run files: the rankings of a system, one document a line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import Run
from rerank_search.judged.formats.lines import CONTROL, check_id, numbered_lines

COLUMNS = re.compile(r"[ \t]+")
"""Separator of the columns in TREC's files. Other white space may be part of an id."""


def read_run(path: Path) -> Run:
    """The scores of a run file, plain or gzipped: ``query Q0 document rank score tag`` a line.

    As in trec_eval the score ranks a document, not the column ``rank``. Raises InvalidInputError
    with file, line and reason for another number of columns, a score that is not a finite number, a
    document that is ranked twice for one query, an id with a control character, and an empty file.
    """
    run: dict[str, dict[str, float]] = {}
    for number, query, document, score in _rows(path):
        where = f"{path}, line {number}"
        check_id(query, "query", where)
        check_id(document, "document", where)
        scores = run.setdefault(query, {})
        if document in scores:
            raise InvalidInputError(
                f"{where}: document {document!r} is ranked twice for query {query!r}: keep one of "
                "the two lines"
            )
        scores[document] = _score(score, where)
    if not run:
        raise InvalidInputError(f"{path} is empty: give the complete run")
    return run


def located_in_run(path: Path, query: str, document: str) -> str:
    """File and line of a result; reads the file again. Raises InvalidInputError without it."""
    for number, of_query, ranked, _ in _rows(path):
        if of_query == query and ranked == document:
            return f"{path.name}, line {number}"
    raise InvalidInputError(f"{path} does not rank {document!r} for {query!r}")


def run_lines(query: str, ranking: Sequence[tuple[str, float]], tag: str) -> Iterator[str]:
    """The lines of a run file for one query; ``ranking`` is best first.

    ``read_run`` gives back exactly the same scores. Raises InvalidInputError for ids and tags that
    are empty or contain white space or control characters, which the format cannot express, and for
    scores that are not finite.
    """
    query, tag = _word(query, "query id"), _word(tag, "tag")
    for rank, (document, score) in enumerate(ranking, start=1):
        if not math.isfinite(score):
            raise InvalidInputError(
                f"query {query!r}: document {document!r} has the score {score}, which cannot be "
                "ranked: fix the reranker"
            )
        yield f"{query} Q0 {_word(document, 'document id')} {rank} {float(score)!r} {tag}\n"


def _rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line, query, document and score."""
    for number, line in numbered_lines(path):
        columns = COLUMNS.split(line.strip(" \t"))
        if len(columns) != 6:
            raise InvalidInputError(
                f"{path}, line {number}: {len(columns)} columns, but a run has six: query, Q0, "
                "document, rank, score and tag"
            )
        query, _, document, _, score, _ = columns
        yield number, query, document, score


def _score(text: str, where: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InvalidInputError(
            f"{where}: the score {text!r} is not a finite number and cannot be ranked: fix the "
            "program that wrote the run"
        )
    return score


def _word(text: str, what: str) -> str:
    if not text or CONTROL.search(text) or any(character.isspace() for character in text):
        raise InvalidInputError(
            f"the {what} {text!r} is empty, or contains white space or a control character, which "
            "a TREC run cannot express: rename it"
        )
    return text
