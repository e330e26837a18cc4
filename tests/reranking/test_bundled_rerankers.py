"""The rerankers that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from sentence_transformers import CrossEncoder
from torch.nn import Identity

from rerank_search import Cascade, CrossEncoderReranker, Document, Index, Searcher
from rerank_search.models.registry import BUNDLED_RERANKERS, resolve_reranker

MEGABYTE = 10**6

QUERY = "how do I join two paths"
TEXTS = [
    "Bread is made of flour, water, salt and yeast.",
    "os.path.join(path, *paths) joins one or more path components.",
    "The queen of the bees lays the eggs of the hive.",
]
PAIRS = [(QUERY, text) for text in TEXTS]


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLED_RERANKERS)
def test_it_scores_as_sentence_transformers_does(name: str) -> None:
    ours = CrossEncoderReranker(name, device="cpu")
    theirs = CrossEncoder(resolve_reranker(name), device="cpu").float()
    expected = theirs.predict(PAIRS, activation_fn=Identity())
    np.testing.assert_allclose(ours.score(PAIRS), expected, atol=1e-4)
    assert np.argmax(expected) == 1
    assert ours.fusion is not None


def test_the_small_one_is_small() -> None:
    files = Path(resolve_reranker("rerank-search-tiny")).iterdir()
    assert sum(file.stat().st_size for file in files) <= 16 * MEGABYTE


def test_the_small_one_chooses_for_the_large_one() -> None:
    small, large = (CrossEncoderReranker(name, device="cpu") for name in BUNDLED_RERANKERS[::-1])
    scores = Cascade([small, large], keep=[1]).score(PAIRS)
    assert np.argmax(scores) == 1
    np.testing.assert_allclose(scores[1], large.score(PAIRS)[1], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("with_vectors", [False, True])
@pytest.mark.parametrize("fusion", ["auto", None])
@pytest.mark.parametrize("name", BUNDLED_RERANKERS)
def test_it_is_calibrated_for_every_score_that_a_search_has(
    name: str,
    fusion: Literal["auto"] | None,
    with_vectors: bool,
    tiny_encoder: Path,
    tmp_path: Path,
) -> None:
    encoder = str(tiny_encoder) if with_vectors else None
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.add([Document(str(place), text) for place, text in enumerate(TEXTS)])
        searcher = Searcher(index, name, fusion=fusion)
        hits = searcher.search(QUERY, min_relevance=0.0).hits
        assert hits
        chances = [hit.relevance for hit in hits if hit.relevance is not None]
        assert len(chances) == len(hits)
        assert chances == sorted(chances, reverse=True)
        assert all(0 < chance < 1 for chance in chances)


@pytest.mark.parametrize("name", BUNDLED_RERANKERS)
def test_its_calibrations_are_of_the_fusion_that_it_has(name: str) -> None:
    reranker = CrossEncoderReranker(name, device="cpu")
    assert reranker.calibration is not None
    assert reranker.fusion is not None
    for stages in ((), ("bm25",), ("bm25", "dense")):
        weights = reranker.fusion.choose(["rerank", *stages]) if stages else None
        found = reranker.calibration.of(weights)
        assert found is not None
        assert found.fitted_on.model == name
        assert not {"msmarco-dl19", "scifact", "cranfield"} & {
            *found.fitted_on.collection.split(", ")
        }
