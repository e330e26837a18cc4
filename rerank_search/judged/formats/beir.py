"""BEIR folders: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv, each plain or gzipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from rerank_search.corpora.definition import load_definition
from rerank_search.declared import did_you_mean
from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.findings import Finding, Tally, findings
from rerank_search.judged.formats.assembly import assembled
from rerank_search.judged.formats.documents import (
    documents_defined,
    documents_in,
    query_texts,
)
from rerank_search.judged.formats.judgements import Judgement, JudgementFile, grade_of
from rerank_search.judged.formats.lines import bare_name, numbered_lines, only, plain_or_gzipped
from rerank_search.types import Document

_HEADER = ["query-id", "corpus-id", "score"]
_LAYOUT = "a BEIR folder has corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv"


def load_beir(
    folder: Path,
    split: str,
    *,
    relevant_from: int = 1,
    runs: Mapping[str, Path] | None = None,
    excluded: Path | None = None,
) -> JudgedCollection:
    """One split of a BEIR folder.

    In place of ``corpus.jsonl`` there may be ``corpus.toml``, an index definition whose documents
    are the corpus. The header ``query-id corpus-id score`` of the judgements may be left out.
    ``runs`` are TREC run files by name; ``excluded`` is a tab-separated file of query id,
    document id and columns that are ignored.

    The documents are checked as they are streamed, everything else here. Raises
    InvalidInputError with file, line and reason; for an unknown split it lists the existing ones.
    """
    judgements = _judgements(folder, split)
    queries = query_texts(_existing(folder / "queries.jsonl"))
    collection = assembled(
        folder.resolve().name,
        split,
        judgements=judgements,
        queries=queries,
        documents=_documents(folder),
        runs=runs or {},
        excluded=excluded,
        relevant_from=relevant_from,
    )
    return replace(collection, findings=[*collection.findings, *_of_splits(folder, queries)])


def _of_splits(folder: Path, queries: Mapping[str, str]) -> list[Finding]:
    # The other splits are not checked: they may have faults, and the wanted one none.
    judged: set[str] = set()
    unreadable = Tally("splits that cannot be read, whose queries count as unjudged")
    for file in (file for files in _splits(folder).values() for file in files):
        try:
            judged.update(line.partition("\t")[0] for _, line in numbered_lines(file))
        except InvalidInputError as error:
            unreadable.add(str(error))
    unjudged = Tally.of(
        "queries that no split judges, left out",
        (query for query in queries if query not in judged),
        lambda query: f"queries.jsonl: query {query!r}",
    )
    return findings([unreadable, unjudged])


def _splits(folder: Path) -> dict[str, list[Path]]:
    """The files of each split; a split can only be read if it has one file."""
    files = [*(folder / "qrels").glob("*.tsv.gz"), *(folder / "qrels").glob("*.tsv")]
    splits: dict[str, list[Path]] = {}
    for file in sorted(files):
        splits.setdefault(bare_name(file), []).append(file)
    return splits


def _judgements(folder: Path, split: str) -> JudgementFile:
    splits = _splits(folder)
    if not splits:
        raise InvalidInputError(f"{folder} has no qrels/SPLIT.tsv; {_LAYOUT}")
    if split not in splits:
        raise InvalidInputError(
            f"{folder} has no split {split!r}: it has {', '.join(splits)}"
            f"{did_you_mean(split, list(splits))}"
        )
    path = only(splits[split], f"{folder / 'qrels'}: the split {split!r}")
    return JudgementFile(path, f"qrels/{path.name}", partial(_rows, path))


def _rows(path: Path) -> Iterator[Judgement]:
    first = True
    for number, line in numbered_lines(path):
        columns = line.split("\t")
        where = f"{path}, line {number}"
        if len(columns) != 3:
            raise InvalidInputError(
                f"{where}: expected query-id, corpus-id and score, separated by tabs, but found "
                f"{len(columns)} columns"
            )
        query, document, score = columns
        if first and columns != _HEADER and not score.strip().lstrip("+-")[:1].isdigit():
            raise InvalidInputError(
                f"{where}: {', '.join(columns)} is neither the header {', '.join(_HEADER)} nor a "
                "judgement with an integer score"
            )
        if columns != _HEADER or not first:
            if not query or not document:
                raise InvalidInputError(f"{where}: an id is empty: give each row both ids")
            yield Judgement(number, query, document, grade_of(score.strip(), where))
        first = False


def _documents(folder: Path) -> Callable[[], Iterator[Document]]:
    corpus = plain_or_gzipped(folder / "corpus.jsonl")
    if corpus is not None:
        return partial(documents_in, corpus)
    declared = folder / "corpus.toml"
    if not declared.is_file():
        raise InvalidInputError(
            f"{folder} has neither corpus.jsonl nor corpus.toml (an index definition); {_LAYOUT}"
        )
    return partial(documents_defined, load_definition(declared), declared)


def _existing(path: Path) -> Path:
    found = plain_or_gzipped(path)
    if found is None:
        raise InvalidInputError(f"{path} does not exist; {_LAYOUT}")
    return found
