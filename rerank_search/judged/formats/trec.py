"""TREC test collections: qrels, topics, and documents in any format that the package reads."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.formats.assembly import assembled
from rerank_search.judged.formats.documents import documents_in
from rerank_search.judged.formats.judgements import Judgement, JudgementFile, grade_of
from rerank_search.judged.formats.lines import bare_name, numbered_lines
from rerank_search.judged.formats.runs import COLUMNS

_FIELDS = "top|num|dom|title|desc|description|smry|narr|narrative|con|fac|nat|def|query|question"
# Anything else in angle brackets is text: "vector<int>".
_TAG = re.compile(rf"<(/?(?:{_FIELDS}))>", re.IGNORECASE)
_LABEL = re.compile(r"^\s*(?:Number|Topic):", re.IGNORECASE)


def load_trec(
    qrels: Path,
    *,
    topics: Path | None,
    documents: Path | None,
    runs: Mapping[str, Path],
    name: str,
    relevant_from: int = 1,
    excluded: Path | None = None,
) -> JudgedCollection:
    """A collection from separate files, each plain or gzipped; its split is the qrels' name.

    ``qrels`` has ``query iteration document grade`` a line. ``topics`` is a tab-separated file of
    id and text, or has TREC's ``<top>`` elements, of which ``<title>`` is the query. Without
    ``topics`` and ``documents`` the ``runs`` (files by name) can still be measured. ``excluded``
    is a tab-separated file of query id, document id and columns that are ignored.

    The documents are checked as they are streamed, everything else here. Raises
    InvalidInputError with file, line and reason.
    """
    return assembled(
        name,
        bare_name(qrels),
        judgements=JudgementFile(qrels, qrels.name, partial(_rows, qrels)),
        queries=None if topics is None else read_topics(topics),
        documents=None if documents is None else partial(documents_in, documents),
        runs=runs,
        excluded=excluded,
        relevant_from=relevant_from,
    )


def read_topics(path: Path) -> dict[str, str]:
    """Query id to text, from a tab-separated file of both, or from TREC's ``<top>`` elements.

    Raises InvalidInputError with file, line and reason for a line that is neither, a topic without
    number or title, a duplicate id, and a file without topics.
    """
    texts: dict[str, str] = {}
    for number, query, text in _topics(path):
        if query in texts:
            raise InvalidInputError(
                f"{path}, line {number}: the topic number {query!r} is a duplicate: rename one of "
                "the topics"
            )
        texts[query] = text
    if not texts:
        raise InvalidInputError(f"{path} has no topics: give the complete file")
    return texts


def _rows(path: Path) -> Iterator[Judgement]:
    for number, line in numbered_lines(path):
        columns = COLUMNS.split(line.strip(" \t"))
        where = f"{path}, line {number}"
        if len(columns) != 4:
            raise InvalidInputError(
                f"{where}: {len(columns)} columns, but TREC's qrels have four: query, iteration, "
                "document and grade"
            )
        yield Judgement(number, columns[0], columns[2], grade_of(columns[3], where))


def _topics(path: Path) -> Iterator[tuple[int, str, str]]:
    lines = numbered_lines(path)
    for number, line in lines:
        if line.lstrip().startswith("<"):
            yield from _elements(path, number, line, lines)
            return
        query, tab, text = line.partition("\t")
        if not tab or not query.strip():
            raise InvalidInputError(
                f"{path}, line {number}: expected a query id and its text, separated by a tab, or "
                "TREC's <top> elements"
            )
        yield number, query.strip(), text.strip()


def _elements(
    path: Path, number: int, line: str, lines: Iterator[tuple[int, str]]
) -> Iterator[tuple[int, str, str]]:
    """The topics from the line that begins the first ``<top>``.

    TREC's markup is not XML: only ``<top>`` is closed, and a field ends where the next one begins.
    """
    start, field, fields = number, "", defaultdict[str, list[str]](list)
    while True:
        pieces = _TAG.split(line)
        # Text and tags alternate, and text comes first.
        for position, piece in enumerate(pieces):
            if position % 2 == 0:
                fields[field].append(piece)
            elif piece.lower() == "top":
                start, field, fields = number, "", defaultdict(list)
            elif piece.lower() == "/top":
                yield _topic(path, start, fields)
                field, fields = "", defaultdict(list)
            else:
                field = "" if piece.startswith("/") else piece.lower()
        following = next(lines, None)
        if following is None:
            break
        number, line = following
    if any(name for name in fields):
        raise InvalidInputError(
            f"{path}, line {start}: the topic that begins here has no </top>: give the complete "
            "file"
        )


def _topic(path: Path, line: int, fields: Mapping[str, list[str]]) -> tuple[int, str, str]:
    query, text = (
        " ".join(_LABEL.sub("", " ".join(fields.get(name, ()))).split())
        for name in ("num", "title")
    )
    if not query or not text:
        raise InvalidInputError(
            f"{path}, line {line}: the topic that begins here has no "
            f"{'<title>' if query else '<num>'}"
        )
    return line, query, text
