"""Sources that are searched, as judged collections."""

from __future__ import annotations

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.findings import Tally, findings
from rerank_search.judged.formats.beir import load_beir
from rerank_search.judged.formats.lines import bare_name
from rerank_search.judged.loading import ignoring_identical_ids
from rerank_search.training.data.groups import POSITIVE_ABOVE
from rerank_search.training.data.pairs import labelled_rows
from rerank_search.training.recipe.sources import Source
from rerank_search.types import Document


def collection_of_pairs(source: Source) -> JudgedCollection:
    """Labelled pairs as a collection: the second texts are the documents.

    The first text of a pair with a label above POSITIVE_ABOVE is a query, for which the second is
    relevant; also the other way round, if each of the two is both a query and a document. An id is
    the place where a text is first a query or a document. Raises InvalidInputError as the reader of
    pairs does, for labels outside [0, 1], and if no pairs belong together.
    """
    file, rows, labels = labelled_rows(source)
    if not all(0 <= label <= 1 for label in labels):
        raise InvalidInputError(
            f"{file}: the labels go from {min(labels):g} to {max(labels):g}, and labels of mined "
            "pairs must be in [0, 1]: set label_map to a number for each of them"
        )
    blank = Tally("pairs with a blank text, left out")
    contradicted = Tally("pairs that are repeated with another label, taken as belonging together")
    seen: dict[tuple[str, str], bool] = {}
    queries: dict[str, str] = {}
    documents: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for row, label in zip(rows, labels, strict=True):
        query, document = row.texts
        if not (query.strip() and document.strip()):
            blank.add(f"{file.name}, {row.place}")
            continue
        belong = label > POSITIVE_ABOVE
        if seen.setdefault(row.texts, belong) != belong:
            contradicted.add(f"{file.name}, {row.place}")
        found = documents.setdefault(document, row.place)
        if belong:
            qrels.setdefault(queries.setdefault(query, row.place), {})[found] = 1
    for (query, document), belong in seen.items():
        if belong and document in queries and query in documents:
            qrels[queries[document]][documents[query]] = 1
    if not qrels:
        raise InvalidInputError(
            f"{file} has no pairs that belong together (with a label above {POSITIVE_ABOVE:g}): "
            "set label_map, or leave out mined"
        )
    return JudgedCollection(
        name=source.name,
        split=bare_name(file),
        queries={place: query for query, place in queries.items()},
        qrels=qrels,
        documents=lambda: (Document(place, text) for text, place in documents.items()),
        located=lambda query, _: f"{file.name}, {query}",
        findings=findings([blank, contradicted]),
    )


def collection_of_folder(source: Source, split: str) -> JudgedCollection:
    """The collection of a source, as it is searched."""
    loaded = load_beir(source.path, split)
    return ignoring_identical_ids(loaded) if source.ignore_identical_ids else loaded
