"""Warnings about a collection and its index that do not fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rerank_search.index import Index
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.findings import Finding
from rerank_search.types import Document

_IDS_AT_ONCE = 500
_LONG = 40
"""Number of letters and digits above which a text is not part of another one by chance."""


def dangling(collection: JudgedCollection, index: Index) -> list[str]:
    """Judgements of documents that are missing from the corpus, as at most one warning."""
    judged = [(query, id) for query, grades in collection.qrels.items() for id in grades]
    missing = list(_missing(judged, index))
    if not missing:
        return []
    query, id = missing[0]
    relevant = sum(collection.qrels[query][id] >= collection.relevant_from for query, id in missing)
    what = (
        f"judgements of documents that are not in the corpus, {relevant:,} of them relevant, "
        "which count as missed"
    )
    first = f"{collection.located(query, id)}: document {id!r}"
    return [str(Finding(what, len(missing), first))]


def queries_in_corpus(collection: JudgedCollection, index: Index) -> dict[str, bool]:
    """The judged queries whose id a document has: whether the texts are the same too.

    Ids may be equal by chance if queries and documents are both numbered. The texts are the same
    if the query is the document's title or text, or both, or if one long text contains the other;
    case, white space and punctuation do not count.
    """
    asked = [query for query in collection.qrels if query in collection.queries]
    found: dict[str, bool] = {}
    for start in range(0, len(asked), _IDS_AT_ONCE):
        chunk = asked[start : start + _IDS_AT_ONCE]
        for query, document in zip(chunk, index.documents(chunk), strict=True):
            if document is not None:
                found[query] = _is_text_of(collection.queries[query], document)
    return found


def _is_text_of(query: str, document: Document) -> bool:
    asked, title, text = map(_letters, (query, document.title, document.text))
    if asked in (title, text, title + text):
        return bool(asked)
    return min(len(asked), len(text)) >= _LONG and (asked in title + text or text in asked)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def identical_ids(collection: JudgedCollection, index: Index | None) -> list[str]:
    """Warnings about queries that are documents too, and about ``ignore_identical_ids``."""
    if collection.samples is not None:
        return []
    if index is None:
        runs = collection.runs.values()
        shared = {q: True for q in collection.qrels if any(q in run.get(q, ()) for run in runs)}
    else:
        shared = queries_in_corpus(collection, index)
    own = [query for query, same in shared.items() if same]
    other = [query for query, same in shared.items() if not same]
    if not collection.ignore_identical_ids:
        what = (
            "queries are documents of the corpus and count as their own results: set "
            "ignore_identical_ids to leave them out, as BEIR does"
        )
        return _found({what: own})
    if not shared:
        return ["no query has the id of a document, so ignore_identical_ids has no effect"]
    return _found(
        {
            "queries are documents of the corpus: their own document is left out of their "
            "rankings": own,
            "queries have the id of a document with another text: it is left out too, because "
            "ignore_identical_ids compares only ids": other,
        }
    )


def _found(queries: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        str(Finding(what, len(found), f"query {found[0]!r}"))
        for what, found in queries.items()
        if found
    ]


def inexpressible(collection: JudgedCollection, index: Index | None) -> str | None:
    """Why TREC run files cannot be written; None if they can."""
    ids = iter(()) if index is None else index.ids()
    for what, names in (("document", ids), ("query", iter(collection.qrels))):
        for id in names:
            if any(character.isspace() for character in id):
                return (
                    f"no run files are written, because the {what} id {id!r} contains white space"
                )
    return None


def _missing(judged: list[tuple[str, str]], index: Index) -> Iterator[tuple[str, str]]:
    for start in range(0, len(judged), _IDS_AT_ONCE):
        chunk = judged[start : start + _IDS_AT_ONCE]
        documents = index.documents([id for _, id in chunk])
        yield from (pair for pair, document in zip(chunk, documents, strict=True) if not document)
