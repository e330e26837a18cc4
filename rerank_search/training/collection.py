"""BEIR folders as training reads them: texts, queries and judgements in memory."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from rerank_search.corpora.readers import read_documents
from rerank_search.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Collection:
    """``documents`` and ``queries`` map id to text, ``qrels`` query id to {document id: grade}."""

    name: str
    documents: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def load_collection(folder: Path, split: str) -> Collection:
    """Read one BEIR folder, its files plain or gzipped.

    A title goes before its text, on a line of its own. Judgements of documents or queries that
    are not there are left out. Raises InvalidInputError naming the file that is missing, or the
    line that is malformed.
    """
    documents = {
        document.id: f"{document.title}\n{document.text}" if document.title else document.text
        for document in read_documents(_existing(folder / "corpus.jsonl"))
    }
    # A line of queries has the fields of a document: an id and a text.
    queries = {row.id: row.text for row in read_documents(_existing(folder / "queries.jsonl"))}
    qrels: dict[str, dict[str, int]] = {}
    path = _existing(folder / "qrels" / f"{split}.tsv")
    with path.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.reader(lines, delimiter="\t"), start=1):
            if number == 1 and row[:1] == ["query-id"]:
                continue
            try:
                query, document, grade = row
                value = int(grade)
            except ValueError:
                raise InvalidInputError(
                    f"{path}, line {number}: expected query-id, corpus-id and an integer score"
                ) from None
            if query in queries and document in documents:
                qrels.setdefault(query, {})[document] = value
    return Collection(folder.name, documents, queries, qrels)


def _existing(path: Path) -> Path:
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.exists():
            return candidate
    raise InvalidInputError(
        f"{path} is not there; a BEIR folder has corpus.jsonl, queries.jsonl and qrels/"
    )
