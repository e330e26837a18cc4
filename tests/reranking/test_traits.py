from __future__ import annotations

from pathlib import Path

from rerank_search import Cascade
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.fusion import Fusion, Weights
from rerank_search.reranking.traits import Traits, traits


class Plain:
    name = "plain"

    def score(self, pairs): ...


def test_a_plain_reranker_and_none_have_the_defaults() -> None:
    assert traits(Plain()) == traits(None) == Traits()


def test_a_cross_encoder_tells_its_window(tiny_reranker: Path) -> None:
    model = CrossEncoderReranker(tiny_reranker, device="cpu")
    assert traits(model) == Traits(window=model.max_length)


def test_a_cascade_is_listwise() -> None:
    assert traits(Cascade([Plain(), Plain()], [3])).listwise


def test_an_attribute_of_another_type_is_not_taken_for_a_trait() -> None:
    reranker = Plain()
    reranker.fusion, reranker.calibration, reranker.max_length = "late", 0.3, "long"
    assert traits(reranker) == Traits()
    reranker.fusion = Fusion([Weights(0.0, {"rerank": 1.0})])
    assert traits(reranker).fusion is reranker.fusion
