"""How far scores and vectors are from those of sentence-transformers, for each architecture.

Usage: python eval/benchmarks/architectures.py

Writes eval/results/architectures.md and .json. The models are tiny and random: only the code that
computes them is compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny_encoders import ENCODERS, LATE_ENCODERS, SPARSE_ENCODERS
from tiny_rerankers import RERANKERS

QUERY = "where is the boat?"
LONG = "Snow and storms: the boat is in the harbour, bread comes from the oven. " * 9
FITTING = [
    (QUERY, "The boat is in the harbour."),
    (QUERY, "bread"),
    (QUERY, ""),
    ("", "A river runs to the sea"),
    ("Schnee im Süden, 雪", "naïve – 港に船 🚢"),
    (QUERY, "A river runs to the sea, and the boat is in the snow. "),
]
"""Pairs of very different lengths, all of them within the windows."""

TOO_LONG = [(QUERY, LONG), (QUERY, f"bread, bread and rain {LONG}")]
"""Pairs whose text has to be cut."""

LONG_QUERIES = [(LONG, "bread"), (LONG, LONG)]
"""Pairs whose query is above the window too: ``predict`` cuts it, and ``score`` the text first."""

LIMIT, RELATIVE_LIMIT = 1e-5, 1e-6
"""Largest difference from sentence-transformers that is allowed, and as a share of the spread.

The second is for sums above 10, such as MaxSim's, whose last digit in float32 is 4e-6 at 60."""

LEAST_SPREAD = 0.05
"""Least range of scores, or of a vector's numbers, of a model that tells texts apart."""

TOLD = "Find claims "
"""An instruction; as a prompt before a query it leaves more than half of the window to a text."""


def same(found: Mapping[str, float]) -> bool:
    """Whether all differences are within the limit, of a model that tells texts apart."""
    differ = [difference for name, difference in found.items() if name != "spread"]
    limit = max(LIMIT, RELATIVE_LIMIT * found["spread"])
    return max(differ) <= limit and found["spread"] > LEAST_SPREAD


def differences(directory: Path) -> dict[str, float]:
    """The largest differences of a reranker's logits from those of sentence-transformers.

    ``spread`` is the range of the logits, to compare the differences with.
    """
    from sentence_transformers import CrossEncoder as Original
    from torch.nn import Identity

    from rerank_search import CrossEncoder

    ours = CrossEncoder(str(directory), device="cpu", backend="torch", dtype="float32")
    theirs = Original(str(directory), device="cpu")
    everything = [*FITTING, *TOO_LONG, *LONG_QUERIES]

    def expected(pairs: Sequence[tuple[str, str]], batch: int) -> Any:
        return theirs.predict(pairs, batch_size=batch, activation_fn=Identity())

    scored = [*FITTING, *TOO_LONG]
    alone = np.concatenate([ours.score([pair]) for pair in scored])
    predicted = ours.predict(everything, batch_size=3, activation_fn=Identity())
    found = {
        "alone": largest(alone, expected(scored, 1)),
        "together": largest(ours.score(scored), expected(scored, 4)),
        "predict": largest(predicted, expected(everything, 3)),
        "spread": float(np.ptp(alone)),
    }
    if ours.takes_instructions:
        told = theirs.predict(scored, prompt=TOLD, batch_size=4, activation_fn=Identity())
        found["instruction"] = largest(ours.score(scored, instruction=TOLD), told)
    return found


def vector_differences(directory: Path) -> dict[str, float]:
    """The largest differences of an encoder's vectors from those of sentence-transformers.

    ``spread`` is the largest difference of two texts' vectors.
    """
    from sentence_transformers import SentenceTransformer

    from rerank_search.retrieval.encoder import Encoder

    ours = Encoder(directory, device="cpu")
    theirs = SentenceTransformer(str(directory), device="cpu")
    texts = _texts()
    found = {}
    for task, prompt, encode in (
        ("query", ours.prompts.query, theirs.encode_query),
        ("document", ours.prompts.document, theirs.encode_document),
    ):
        alone = np.concatenate([ours.encode([text], task=task, prompt=prompt) for text in texts])
        expected = encode(texts, batch_size=1, normalize_embeddings=True)
        found[f"{task} alone"] = largest(alone, expected)
        together = encode(texts, batch_size=4, normalize_embeddings=True)
        found[f"{task} together"] = largest(ours.encode(texts, task=task, prompt=prompt), together)
    return found | {"spread": float(np.ptp(alone, axis=0).max())}


def sparse_differences(directory: Path) -> dict[str, float]:
    """The largest differences of sparse vectors and of an index's scores from their makers'.

    ``spread`` is the range of the scores.
    """
    from sentence_transformers import SparseEncoder as Original

    from rerank_search import Document, Index, SparseEncoder

    ours = SparseEncoder(directory, device="cpu")
    theirs = Original(str(directory), device="cpu")
    texts = _texts()
    found, vectors = {}, {}
    for task, prompt, encode in (
        ("query", ours.prompts.query, theirs.encode_query),
        ("document", ours.prompts.document, theirs.encode_document),
    ):
        own = [ours.encode([text], task=task, prompt=prompt) for text in texts]
        alone = np.concatenate([_dense(each, ours.dimension) for each in own])
        together = _dense(ours.encode(texts, task=task, prompt=prompt), ours.dimension)
        expected = encode(texts, batch_size=1, convert_to_sparse_tensor=False)
        vectors[task] = encode(texts, batch_size=4, convert_to_sparse_tensor=False)
        if theirs.similarity_fn_name == "cosine":  # an index wants vectors whose length is 1
            expected, together_expected = map(_unit, (expected, vectors[task]))
        else:
            together_expected = vectors[task]
        found[f"{task} alone"] = largest(alone, expected)
        found[f"{task} together"] = largest(together, together_expected)
    similarity = theirs.similarity(vectors["query"], vectors["document"]).numpy()
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.create(folder, encoder=None, sparse_encoder=ours, passages=None) as index,
    ):
        index.add(Document(str(place), text) for place, text in enumerate(texts))
        rankings = index.retriever("sparse").retrieve(texts, len(texts))
    scores = np.zeros_like(similarity)
    for query, hits in enumerate(rankings):
        for hit in hits:
            scores[query, int(hit.id)] = hit.score
    found["index"] = largest(scores, similarity)
    return found | {"spread": float(np.ptp(similarity))}


def late_differences(directory: Path) -> dict[str, float]:
    """The largest differences of MaxSim's scores from those of sentence-transformers.

    ``spread`` is the range of the scores.
    """
    from sentence_transformers import MultiVectorEncoder

    from rerank_search import MultiVectorReranker

    ours = MultiVectorReranker(directory, device="cpu", cache_mb=0)
    theirs = MultiVectorEncoder(str(directory), device="cpu")
    texts = _texts()
    pairs = [(query, text) for query in texts for text in texts]
    alone = np.concatenate([ours.score([pair]) for pair in pairs])
    found = {}
    for name, scores, batch in (("alone", alone, 1), ("together", ours.score(pairs), 4)):
        queries, documents = (
            encode(texts, batch_size=batch)
            for encode in (theirs.encode_query, theirs.encode_document)
        )
        found[name] = largest(scores, theirs.similarity(queries, documents).numpy().ravel())
    return found | {"spread": float(np.ptp(alone))}


def _texts() -> list[str]:
    """Texts of very different lengths, two of them above the window."""
    return [QUERY, *dict.fromkeys(text for _, text in [*FITTING, *TOO_LONG] if text)]


def _dense(vectors: Any, dimension: int) -> Any:
    """Sparse vectors as an array of shape (texts, dimension)."""
    found = np.zeros((len(vectors), dimension), np.float32)
    found[vectors.texts, vectors.tokens] = vectors.weights
    return found


def _unit(vectors: Any) -> Any:
    return vectors / vectors.norm(dim=1, keepdim=True)


def largest(ours: Any, theirs: Any) -> float:
    """The largest difference of two arrays."""
    return float(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)).max())


def measured(
    makers: Mapping[str, Callable[[Path], Path]], measure: Callable[[Path], dict[str, float]]
) -> dict[str, dict[str, float]]:
    """The differences of every model, by its name."""
    found = {}
    for name, make in makers.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measure(make(Path(folder)))
        print(f"{name}: {found[name]}")
    return found


def rows(found: Mapping[str, Mapping[str, float]], columns: Sequence[str]) -> list[list[str]]:
    """A row for each model; a column that it does not have is empty."""
    return [
        [name, *(f"{own[each]:.1e}" if each in own else "" for each in columns)]
        for name, own in found.items()
    ]


def main() -> None:
    """Compare, and write the report."""
    from report import table, write

    rerankers = measured(RERANKERS, differences)
    columns = ("alone", "together", "predict", "instruction", "spread")
    encoders = measured(ENCODERS, vector_differences)
    kinds = ("query alone", "query together", "document alone", "document together", "spread")
    sparse = measured(SPARSE_ENCODERS, sparse_differences)
    scores = (*kinds[:-1], "index", "spread")
    late = measured(LATE_ENCODERS, late_differences)
    sections = {
        "What is compared": (
            "Tiny models with random weights, made with the classes of transformers, saved, and "
            "loaded from their folders by both libraries, in float32. A figure is the largest "
            f"difference from sentence-transformers (at most {LIMIT:g} is allowed, or "
            f"{RELATIVE_LIMIT:g} of the spread where that is more).\n\n"
            "Rerankers: `alone` scores each pair in a call of its own, `together` all in one, some "
            "of them with a text above the window. `predict` has queries above the window too, "
            "which `predict` and sentence-transformers cut, and `score` does not. `instruction` "
            "is `together` with an instruction in the place of the model's prompt. `spread` is "
            "the range of the logits.\n\n"
            "Encoders: vectors of texts as queries and as documents, against `encode_query` and "
            "`encode_document`, each text in a call of its own (`alone`), and all in one "
            "(`together`), two of them above the window. Vectors have the length 1, and `spread` "
            "is the largest difference of a number between two texts.\n\n"
            "Sparse encoders: vectors likewise, whose numbers are those of all tokens of the "
            "vocabulary. `index` compares the scores of the first stage `sparse` of an index with "
            "`similarity`, of which `spread` is the range.\n\n"
            "Late interaction: scores of `MultiVectorReranker` against `similarity` of "
            "`encode_query` and `encode_document`, each pair in a call of its own (`alone`), and "
            "all in one (`together`). `spread` is the range of the scores."
        ),
        "Rerankers": table(["architecture", *columns], rows(rerankers, columns)),
        "Encoders": table(["architecture", *kinds], rows(encoders, kinds)),
        "Sparse encoders": table(["architecture", *scores], rows(sparse, scores)),
        "Late interaction": table(
            ["architecture", "alone", "together", "spread"],
            rows(late, ("alone", "together", "spread")),
        ),
    }
    figures = {
        "rerankers": rerankers,
        "encoders": encoders,
        "sparse encoders": sparse,
        "late interaction": late,
    }
    command = "python eval/benchmarks/architectures.py"
    title = "Scores and vectors against those of sentence-transformers"
    print(write("architectures", title, command, sections, figures))


if __name__ == "__main__":
    main()
