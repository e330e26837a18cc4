"""A collection put together from its files, with findings where they do not fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection, Qrels, Run
from rerank_search.judged.findings import Tally, findings
from rerank_search.judged.formats.judgements import JudgementFile
from rerank_search.judged.formats.lines import numbered_lines
from rerank_search.judged.formats.runs import located_in_run, read_run
from rerank_search.types import Document


def assembled(
    name: str,
    split: str,
    *,
    judgements: JudgementFile,
    queries: Mapping[str, str] | None,
    documents: Callable[[], Iterator[Document]] | None,
    runs: Mapping[str, Path],
    excluded: Path | None,
    relevant_from: int,
) -> JudgedCollection:
    """The collection of a file of judgements and the other files that belong to it.

    ``queries`` is None if nothing will be searched, so no text is missing. Raises InvalidInputError
    for ``relevant_from`` below 1, for judgements that fit none of the queries, and as the readers
    of the files do.
    """
    if relevant_from < 1:
        raise InvalidInputError(
            f"relevant_from={relevant_from} is too low: give at least 1, because grade 0 is not "
            "relevant"
        )
    qrels, found = judgements.qrels()
    texts = {id: text for id, text in (queries or {}).items() if text.strip()}
    if queries is not None and texts.keys().isdisjoint(qrels):
        raise InvalidInputError(
            f"{judgements.path}: none of the {len(qrels):,} judged queries has a text: check that "
            "the queries and the judgements belong together"
        )
    rankings = {run: read_run(path) for run, path in runs.items()}
    left_out = {} if excluded is None else excluded_documents(excluded)

    def place(query: str) -> str:
        return f"{judgements.located(query, next(iter(qrels[query])))}: query {query!r}"

    tallies = [
        *_of_queries(qrels, None if queries is None else texts, relevant_from, place),
        *_of_exclusions(qrels, texts, left_out, excluded, relevant_from),
    ]
    for run, ranking in rankings.items():
        tallies += _of_run(qrels, ranking, run, runs[run], place)
    return JudgedCollection(
        name=name,
        split=split,
        queries=texts,
        qrels=qrels,
        documents=documents,
        located=judgements.located,
        runs=rankings,
        located_in_run=lambda run, query, document: located_in_run(runs[run], query, document),
        excluded=left_out,
        relevant_from=relevant_from,
        findings=[*found, *findings(tallies)],
    )


def excluded_documents(path: Path) -> dict[str, frozenset[str]]:
    """Query id to documents: the first two columns of a tab-separated file, with a header or not.

    Raises InvalidInputError with file, line and reason.
    """
    excluded: dict[str, set[str]] = {}
    for number, line in numbered_lines(path):
        columns = line.split("\t")[:2]
        if columns == ["query-id", "corpus-id"] and not excluded:
            continue
        if len(columns) < 2 or not all(columns):
            raise InvalidInputError(
                f"{path}, line {number}: expected a query id and a document id, separated by a tab"
            )
        excluded.setdefault(columns[0], set()).add(columns[1])
    return {query: frozenset(documents) for query, documents in excluded.items()}


def _of_queries(
    qrels: Qrels,
    texts: Mapping[str, str] | None,
    relevant_from: int,
    place: Callable[[str], str],
) -> list[Tally]:
    without_text = [] if texts is None else [query for query in qrels if query not in texts]
    without_relevant = [
        query for query, grades in qrels.items() if max(grades.values()) < relevant_from
    ]
    return [
        Tally.of("judged queries without a text, which count 0", without_text, place),
        Tally.of(
            f"judged queries without a document of grade {relevant_from} or more, which count 0",
            without_relevant,
            place,
        ),
    ]


def _of_exclusions(
    qrels: Qrels,
    texts: Mapping[str, str],
    excluded: Mapping[str, frozenset[str]],
    path: Path | None,
    relevant_from: int,
) -> list[Tally]:
    if path is None:
        return []
    unknown = Tally("queries with excluded documents that are not in the collection")
    relevant = Tally("excluded documents that are judged relevant, and so always missed")
    for query, documents in excluded.items():
        if query not in qrels and query not in texts:
            unknown.add(f"{path.name}: query {query!r}")
        grades = qrels.get(query, {})
        for document in sorted(documents):
            if grades.get(document, 0) >= relevant_from:
                relevant.add(f"{path.name}: document {document!r} for query {query!r}")
    return [unknown, relevant]


def _of_run(
    qrels: Qrels, ranking: Run, run: str, path: Path, place: Callable[[str], str]
) -> list[Tally]:
    return [
        Tally.of(
            f"judged queries without results in the run {run!r}, which count 0 there",
            (query for query in qrels if query not in ranking),
            place,
        ),
        Tally.of(
            f"queries of the run {run!r} that are not judged here, left out",
            (query for query in ranking if query not in qrels),
            lambda query: (
                f"{located_in_run(path, query, next(iter(ranking[query])))}: query {query!r}"
            ),
        ),
    ]
