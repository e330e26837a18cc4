"""What of a collection does not fit its index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rerank_search.evaluation.collection import Collection, Finding
from rerank_search.index import Index

_IDS_AT_ONCE = 500


def dangling(collection: Collection, index: Index) -> list[str]:
    """The judgements of documents that the corpus has not, as at most one warning."""
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


def cut_too_deep(measures: Sequence[str], depth: int) -> list[str]:
    """The measures with a cut-off beyond ``depth`` candidates, as at most one warning.

    ``measures`` as ``measures.canonical`` gives them.
    """
    deeper = [name for name in measures if int(name.partition("@")[2] or 0) > depth]
    if not deeper:
        return []
    return [
        f"there are {depth:,} candidates, so that {', '.join(deeper)} cannot know more results "
        "than these: evaluate more candidates, or take a smaller cut-off"
    ]


def inexpressible(collection: Collection, index: Index | None) -> str | None:
    """Why there can be no TREC run files; None where there can."""
    ids = iter(()) if index is None else index.ids()
    for what, names in (("document", ids), ("query", iter(collection.qrels))):
        for id in names:
            if any(character.isspace() for character in id):
                return f"no run files are written: the {what} id {id!r} has white space"
    return None


def _missing(judged: list[tuple[str, str]], index: Index) -> Iterator[tuple[str, str]]:
    for start in range(0, len(judged), _IDS_AT_ONCE):
        chunk = judged[start : start + _IDS_AT_ONCE]
        documents = index.documents([id for _, id in chunk])
        yield from (pair for pair, document in zip(chunk, documents, strict=True) if not document)
