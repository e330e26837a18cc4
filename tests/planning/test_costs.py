"""Costs that a person can check: see the round figures of the profile in conftest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rerank_search.planning import Goal
from rerank_search.planning.costs import Costs
from rerank_search.planning.goal import Assumptions

GOAL = Goal(documents=1_000_000, qps=10, p99_ms=1_000, words=100)


@pytest.fixture
def costs(profile) -> Costs:
    return Costs(GOAL, profile, profile, Assumptions(query_tokens=17, server_ms=0))


def of(costs: Costs, **changes) -> Costs:
    return replace(costs, goal=replace(costs.goal, **changes))


def test_a_document_that_fits_the_encoder_is_one_passage(costs: Costs) -> None:
    assert costs.document_tokens == pytest.approx(130)
    assert costs.passages == 1
    assert costs.pair_tokens == pytest.approx(130 + 17 + 3)


def test_a_long_document_has_passages_that_overlap(costs: Costs) -> None:
    long = of(costs, words=1_000)  # 1,300 tokens: 256, and 192 new ones in each further passage
    assert long.passages == 1 + 6
    assert long.indexed_tokens == pytest.approx(1_300 + 6 * 64)
    assert long.pair_tokens == 256 + 17 + 3


def test_passages_of_a_short_window_share_half_of_it_at_most(costs: Costs, made_profile) -> None:
    encoder = costs.reranking.encoder.model_dump() | {"passage_tokens": 50}
    short = replace(costs, reranking=made_profile(encoder=encoder))
    assert short.passages == 1 + 4  # 130 tokens: 50, and 25 new ones in each further passage
    assert short.indexed_tokens == pytest.approx(130 + 4 * 25)


def test_words_that_two_passages_share_are_indexed_twice(costs: Costs) -> None:
    long = of(costs, words=1_000, first_stage="bm25")
    twice = 1_684 / 1_300
    assert long.memory_per_document == pytest.approx(5_000 * twice)
    assert long.disk_per_document == pytest.approx(2 * (10_000 + 5_000 * twice))
    assert long.build_seconds == pytest.approx(1e-3 * twice)
    once = of(costs, first_stage="bm25")
    same = long.search_seconds(10_000), once.search_seconds(100_000 * twice)
    assert same[0] == pytest.approx(same[1])


def test_a_pair_is_no_longer_than_the_window(costs: Costs) -> None:
    cut = replace(of(costs, words=1_000), assumptions=Assumptions(query_tokens=500))
    assert cut.pair_tokens == 512


def test_bytes_of_a_document_in_memory_and_on_disk(costs: Costs) -> None:
    vector = 384 * 4 + 272
    assert costs.memory_per_document == 500 + vector + 16
    assert costs.disk_per_document == 2 * (1_000 + 500 + vector)
    assert of(costs, vector_dtype="int8").memory_per_document == 500 + 384 + 272 + 16
    assert of(costs, vector_search="exact").memory_per_document == 500 + 384 * 4 + 16
    assert of(costs, first_stage="bm25").memory_per_document == 500
    assert of(costs, first_stage="dense", dimension=100).memory_per_document == 400 + 272 + 16


def test_documents_that_fit_into_memory(costs: Costs) -> None:
    few = of(costs, first_stage="bm25", memory_gb=10)
    assert few.documents_per_machine == (8 - 1) * 10**9 // 500
    assert of(costs, memory_gb=1).documents_per_machine == 0


def test_bm25_grows_with_the_words_of_a_shard(costs: Costs) -> None:
    text = of(costs, first_stage="bm25")
    for documents, seconds in ((10_000, 0.001), (110_000, 0.002), (1_000_000, 0.0109)):
        assert text.search_seconds(documents).mean() == pytest.approx(seconds)


def test_a_graph_grows_with_the_logarithm_and_all_vectors_in_proportion(costs: Costs) -> None:
    graph = of(costs, first_stage="dense")
    assert graph.search_seconds(2**20).mean() == pytest.approx(0.001)
    assert graph.search_seconds(2**30).mean() == pytest.approx(0.0015)
    exact = of(costs, first_stage="dense", vector_search="exact")
    assert exact.search_seconds(1_000_000).mean() == pytest.approx(0.1)
    longer = of(costs, first_stage="dense", vector_search="exact", dimension=768)
    assert longer.search_seconds(1_000_000).mean() == pytest.approx(0.2)


def test_hybrid_takes_both_searches(costs: Costs) -> None:
    parts = [of(costs, first_stage=name).search_seconds(50_000) for name in ("bm25", "dense")]
    assert costs.search_seconds(50_000) == pytest.approx(sum(parts))


def test_reranking_takes_time_by_the_tokens_of_all_pairs(costs: Costs) -> None:
    assert costs.rerank_seconds.mean() == pytest.approx(100 * 150 / 10_000)
    assert costs.pairs_per_second == pytest.approx(10_000 / 150)
    assert costs.model_seconds.mean() == pytest.approx(1.5 + 0.005)
    assert of(costs, first_stage="bm25").model_seconds.mean() == pytest.approx(1.5)
    assert of(costs, cores=8).rerank_seconds.mean() == pytest.approx(0.75)


def test_the_cores_of_a_machine_do_not_make_its_gpu_faster(costs: Costs, made_profile) -> None:
    machine = costs.searching.machine.model_dump() | {"device": "cuda:0 a GPU"}
    on_gpu = replace(of(costs, cores=8), reranking=made_profile(machine=machine))
    assert on_gpu.on_gpu
    assert on_gpu.rerank_seconds.mean() == pytest.approx(1.5)


def test_indexing_a_document(costs: Costs) -> None:
    assert costs.encode_seconds == pytest.approx(130 / 10_000)
    assert of(costs, words=1_000).encode_seconds == pytest.approx(1_684 / 10_000)
    assert of(costs, cores=8).encode_seconds == pytest.approx(130 / 20_000)
    assert costs.build_seconds == pytest.approx(100e-6 + 0.001)
    assert of(costs, first_stage="bm25").encode_seconds == 0
    assert of(costs, first_stage="bm25").build_seconds == pytest.approx(100e-6)
