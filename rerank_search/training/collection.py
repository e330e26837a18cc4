"""BEIR folders as training reads them: texts, queries and judgements in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rerank_search.evaluation.formats.beir import load_beir


@dataclass(frozen=True, slots=True)
class Collection:
    """``documents`` and ``queries`` map id to text, ``qrels`` query id to {document id: grade}."""

    name: str
    documents: dict[str, str]
    queries: Mapping[str, str]
    qrels: dict[str, dict[str, int]]


def load_collection(folder: Path, split: str) -> Collection:
    """Read one BEIR folder, its files plain or gzipped.

    A title goes before its text, on a line of its own. Judgements of documents or queries that
    are not there are left out. Raises InvalidInputError naming the file that is missing, or the
    line that is malformed.
    """
    read = load_beir(folder, split)
    documents = {
        document.id: f"{document.title}\n{document.text}" if document.title else document.text
        for document in (read.documents() if read.documents is not None else ())
    }
    qrels: dict[str, dict[str, int]] = {}
    for query, grades in read.qrels.items():
        for document, grade in grades.items():
            if query in read.queries and document in documents:
                qrels.setdefault(query, {})[document] = grade
    return Collection(read.name, documents, read.queries, qrels)
