"""Reranking samples as sentence-transformers has them: one JSON object a line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection, Sample
from rerank_search.judged.findings import Finding, Tally, findings
from rerank_search.judged.formats.lines import bare_name
from rerank_search.judged.formats.records import Record, json_records, text_in, texts_in
from rerank_search.types import Document

GIVEN = "given"
"""Name of the run that the lists of the samples make."""


def load_samples(path: Path, *, relevant_from: int = 1) -> JudgedCollection:
    """A JSONL file, plain or gzipped, of samples with their own candidates, as a collection.

    A sample has ``query``, ``positive`` (a text or a list of texts) and one of ``documents``
    (candidates, best first) and ``negative`` (texts that are not relevant, in no order). Its
    query's id is the number of its line; ``document_id`` makes a document's from its text.
    Positives have grade 1, and the run "given" has the candidates in their order.

    Raises InvalidInputError with file, line and reason for a line that is not a sample, a text that
    is both positive and negative, and an empty file.
    """
    if relevant_from != 1:
        raise InvalidInputError(
            f"relevant_from={relevant_from} is too high: give 1, because the positives of {path} "
            "have grade 1"
        )
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for sample in samples_in(path):
        id = str(sample.line)
        if sample.query.strip():
            queries[id] = sample.query
        qrels[id] = {document_id(text): 1 for text in sample.positive}
        given = dict.fromkeys(document_id(text) for text in sample.given)
        run[id] = {document: float(len(given) - place) for place, document in enumerate(given)}
    return JudgedCollection(
        name=path.resolve().parent.name,
        split=bare_name(path),
        queries=queries,
        qrels=qrels,
        documents=partial(_documents, path),
        located=lambda query, document: f"{path.name}, line {query}",
        runs={GIVEN: run},
        located_in_run=lambda _, query, document: f"{path.name}, line {query}",
        relevant_from=relevant_from,
        findings=_findings(path),
        samples=partial(samples_in, path),
    )


def samples_in(path: Path) -> Iterator[Sample]:
    """The samples of a file, streamed, repeated texts included.

    Raises InvalidInputError as ``load_samples`` does.
    """
    empty = True
    for line, record in json_records(path):
        empty = False
        yield _sample(line, record, f"{path}, line {line}")
    if empty:
        raise InvalidInputError(f"{path} is empty: give the complete file")


def document_id(text: str) -> str:
    """The id of a text: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sample(line: int, record: Record, where: str) -> Sample:
    if ("documents" in record) == ("negative" in record):
        raise InvalidInputError(
            f"{where}: a sample must have either 'documents' or 'negative', and this one has "
            f"{'both' if 'negative' in record else 'neither'}"
        )
    kind: Literal["documents", "negative"] = "negative" if "negative" in record else "documents"
    query = text_in(record, "query", where)
    if isinstance(record.get("positive"), list):
        positive = texts_in(record, "positive", where)
    else:
        positive = [text_in(record, "positive", where)]
    given = texts_in(record, kind, where)
    if kind == "negative" and (both := set(positive).intersection(given)):
        raise InvalidInputError(
            f"{where}: {min(both)!r:.60} is both positive and negative: keep one of the two"
        )
    return Sample(line, query, positive, given, kind)


def _documents(path: Path) -> Iterator[Document]:
    seen: set[str] = set()
    for sample in samples_in(path):
        for text in (*sample.positive, *sample.given):
            id = document_id(text)
            if id not in seen:
                seen.add(id)
                yield Document(id, text)


def _findings(path: Path) -> list[Finding]:
    no_query = Tally("samples with a blank query, which count 0")
    no_positive = Tally("samples without a positive, which count 0")
    no_candidates = Tally("samples without candidates, which count 0 unless positives are added")
    no_ranking = Tally(
        "samples with negatives instead of ranked documents: they have no first stage, so only "
        "all_positives is meaningful"
    )
    repeated = Tally("texts that are repeated in a list of one sample, counted once")
    for sample in samples_in(path):
        where = f"{path.name}, line {sample.line}"
        for tally, applies in (
            (no_query, not sample.query.strip()),
            (no_positive, not sample.positive),
            (no_candidates, not sample.given),
            (no_ranking, sample.kind == "negative"),
        ):
            if applies:
                tally.add(where)
        for texts in (sample.positive, sample.given):
            for _ in range(len(texts) - len(set(texts))):
                repeated.add(where)
    return findings([no_query, no_positive, no_candidates, no_ranking, repeated])
