from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rerank_search import Fusion, Index, Searcher, SearchOptions
from rerank_search.evaluation.cell import evaluate_cell
from rerank_search.evaluation.cost import measure_cost
from rerank_search.evaluation.measures import Scorer
from rerank_search.evaluation.results import Cell, System
from rerank_search.judged.candidates import CandidateSource
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.formats.runs import read_run
from rerank_search.judged.score_cache import ScoreCache
from rerank_search.judged.second_stages import SecondStage
from rerank_search.ranking import ranked
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.fusion import Weights
from tests.index.test_languages_of_an_index import GERMAN, EnglishEncoder, Lengths, documents

FUSION = Fusion([Weights(0.5, {"rerank": 0.7, "dense:z": 1.0, "bm25:z": 0.3})])
MEASURES = ["nDCG@10", "MAP", "R@100", "Success@1"]


class Prefers:
    """A reranker that puts one text first, and ranks the others by length."""

    name = "prefers"

    def __init__(self, beginning: str) -> None:
        self.beginning = beginning
        self.texts: list[str] = []

    def score(self, pairs):
        self.texts += [text for _, text in pairs]
        return np.array(
            [1000 if text.startswith(self.beginning) else -len(text) for _, text in pairs],
            dtype=np.float32,
        )


@pytest.fixture(scope="module")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker, device="cpu")


@pytest.fixture
def cell(collection, index, tmp_path):
    """Evaluates one system, whose parts may be replaced."""

    def run(
        first_stage="hybrid",
        candidates=5,
        reranker=None,
        fusion=None,
        collection=collection,
        index=index,
    ) -> Cell:
        system = System(
            first_stage, candidates, None if reranker is None else Path(reranker.name).name
        )
        second = (
            None
            if reranker is None
            else SecondStage(reranker, fusion, ScoreCache(tmp_path, reranker))
        )
        scorer = Scorer(collection.qrels, MEASURES, relevant_from=collection.relevant_from)
        return evaluate_cell(
            collection,
            index,
            system,
            second,
            scorer=scorer,
            sbert_at_k=10,
            runs=tmp_path / "runs",
        )

    return run


def rankings(folder: Path, name: str) -> dict[str, list[str]]:
    run = read_run(folder / "runs" / f"{name}.trec")
    return {
        query: [id for id, _, _ in ranked((id, score, None) for id, score in scores.items())]
        for query, scores in run.items()
    }


@pytest.mark.parametrize("first_stage", ["bm25", "dense", "hybrid"])
@pytest.mark.parametrize("fusion", [None, FUSION], ids=["logit", "fused"])
@pytest.mark.parametrize("candidates", [2, 5])
def test_retrieved_is_what_a_searcher_answers(
    cell, collection, index, reranker, tmp_path, first_stage, fusion, candidates
):
    reranker.name = "tiny"
    cell(first_stage, candidates, reranker, fusion)
    found = rankings(tmp_path, f"{first_stage}@{candidates}+tiny.retrieved")

    searcher = Searcher(index, reranker, fusion=fusion)
    for query, text in collection.queries.items():
        response = searcher.search(
            text, top_k=candidates, candidates=candidates, first_stage=first_stage
        )
        assert found.get(query, []) == [hit.id for hit in response.hits]


def test_vectors_that_searches_leave_out_are_not_weighed(cell, collection, tmp_path):
    query = "Wie viele Vögel an einem Ort?"
    german = replace(collection, queries={"q": query}, qrels={"q": {"d2": 1}})
    with Index.create(tmp_path / "index", encoder=EnglishEncoder(), analyzer="german") as index:
        index.add(documents(GERMAN, 12))
        cell("hybrid", 8, Lengths(), Lengths.fusion, german, index)
        found = rankings(tmp_path, "hybrid@8+lengths.retrieved")
        options = SearchOptions(top_k=8, candidates=8, first_stage="hybrid")
        weighed = Searcher(index, Lengths(), fusion=Lengths.fusion).search(query, options)
        searched = Searcher(index, Lengths()).search(query, options)
    assert found["q"] == [hit.id for hit in searched.hits]
    assert found["q"] != [hit.id for hit in weighed.hits]


@pytest.mark.parametrize("first_stage", ["bm25", "dense", "hybrid"])
def test_first_stage_is_what_the_retriever_finds(cell, collection, index, tmp_path, first_stage):
    found = cell(first_stage, 3)
    hits = index.retriever(first_stage).retrieve(list(collection.queries.values()), 3)
    expected = {
        query: [hit.id for hit in ranking]
        for query, ranking in zip(collection.queries, hits, strict=True)
        if ranking
    }
    assert rankings(tmp_path, f"{first_stage}@3.first_stage") == expected
    assert found.top["first_stage"] == [expected.get(query, []) for query in found.queries]
    assert found.values.keys() == {"first_stage", "oracle"}


def test_a_reranker_cannot_mend_what_the_first_stage_missed_unless_positives_are_added(cell):
    perfect = cell("bm25", 1, Prefers("the old bridge"))
    place = perfect.queries.index("q2")  # its positives: read (found), tower (not found)

    assert perfect.values["retrieved"]["R@100"][place] == 0.5
    assert perfect.values["oracle"]["R@100"][place] == 0.5
    assert perfect.values["all_positives"]["R@100"][place] == 1.0
    assert perfect.values["all_positives"]["MAP"][place] == 1.0
    # The denominator is always 2 positives, however few were retrieved.
    assert perfect.values["retrieved"]["MAP"][place] == 0.5


def test_all_positives_reranks_the_best_passage_of_a_long_document(cell):
    reranker = Prefers("nothing")
    cell("bm25", 1, reranker)
    of_story = [text for text in reranker.texts if text.startswith("story\n")]
    assert of_story
    assert all("The queen is in the garden." in text for text in of_story)


def test_the_oracle_is_never_below_a_reranked_list(cell, reranker):
    found = cell("hybrid", 4, reranker, FUSION)
    for measure in MEASURES:
        best = np.array(found.values["oracle"][measure])
        for protocol in ("first_stage", "retrieved"):
            assert (best >= np.array(found.values[protocol][measure]) - 1e-9).all()


def test_sbert_figures_are_those_of_its_evaluator(cell, collection, index, tiny_reranker, reranker):
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

    from rerank_search.reranking.hit_text import passage

    found = cell("dense", 4, reranker)
    samples = []
    for query, text in collection.queries.items():
        [hits] = index.retriever("dense").retrieve([text], 4)
        documents = index.documents([hit.id for hit in hits])
        texts = [passage(replace(h, document=d)) for h, d in zip(hits, documents, strict=True)]
        positives = []
        for id, grade in collection.qrels[query].items():
            document = index.get(id)
            assert document is not None
            if grade:
                [known] = [t for h, t in zip(hits, texts, strict=True) if h.id == id] or [None]
                positives.append(known or f"{document.title}\n{document.text}".strip())
        samples.append({"query": text, "positive": positives, "documents": texts})
    original = CrossEncoder(str(tiny_reranker), device="cpu")
    evaluator = CrossEncoderRerankingEvaluator(samples=samples, write_csv=False)
    expected = evaluator(original)

    means = {key: np.mean(values) for key, values in found.values["sbert"].items()}
    for key in ("map", "mrr@10", "ndcg@10", "base_map", "base_mrr@10", "base_ndcg@10"):
        assert means[key] == pytest.approx(expected[key], abs=1e-9)


def test_a_query_without_text_or_results_counts_zero(cell, collection, reranker):
    lost = replace(collection, queries={"q1": collection.queries["q1"], "q3": "zzqx"})
    found = cell("bm25", 5, reranker, collection=lost)
    assert list(found.queries) == ["q1", "q2", "q3", "q4"]
    for protocol in ("first_stage", "retrieved", "oracle"):
        assert found.values[protocol]["nDCG@10"][0] > 0
        assert list(found.values[protocol]["nDCG@10"][1:]) == [0.0, 0.0, 0.0]
    # q3 has a text, so its positive can be reranked; q2 and q4 have none.
    assert list(found.values["all_positives"]["R@100"]) == [1.0, 0.0, 1.0, 0.0]


def test_excluded_documents_are_left_out_before_the_depth_is_counted(cell, collection, tmp_path):
    cell("hybrid", 2)
    before = rankings(tmp_path, "hybrid@2.first_stage")["q1"]
    left_out = replace(collection, excluded={"q1": frozenset(before[:1])})
    cell("hybrid", 2, collection=left_out)
    after = rankings(tmp_path, "hybrid@2.first_stage")["q1"]
    assert len(after) == 2
    assert after[0] == before[1]


def test_a_given_run_is_a_first_stage(cell, collection, reranker, tmp_path):
    given = {"q1": {"boat": 3.0, "join": 2.0, "split": 2.0, "ghost": 1.0}, "q2": {"read": 1.0}}
    with_run = replace(
        collection, runs={"mine": given}, located_in_run=lambda run, query, _: f"{run}, {query}"
    )
    found = cell("mine", 4, reranker, FUSION, collection=with_run)
    assert found.top["first_stage"][0] == ["boat", "join", "split"]
    assert set(found.top["retrieved"][0]) == {"boat", "join", "split"}
    assert found.warnings == [
        "1 results of the run are not in the corpus, and were left out "
        "(first: mine, q1: document 'ghost')"
    ]
    alone = cell("mine", 4, collection=with_run)
    assert alone.top["first_stage"] == found.top["first_stage"]
    assert alone.warnings == found.warnings


def test_a_run_is_measured_without_documents(cell, collection):
    alone = replace(collection, documents=None, runs={"mine": {"q1": {"boat": 3.0, "join": 2.0}}})
    found = cell("mine", 1, collection=alone, index=None)
    assert found.top["first_stage"] == [["boat"], [], [], []]


def test_a_run_is_measured_without_the_texts_of_its_queries(cell, collection):
    bare = replace(
        collection, documents=None, queries={}, runs={"mine": {"q1": {"join": 3.0, "boat": 2.0}}}
    )
    found = cell("mine", 5, collection=bare, index=None)
    assert found.values["first_stage"]["Success@1"] == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("queries", ["as they are", "that find nothing"])
@pytest.mark.parametrize("reranked", [True, False])
def test_progress_adds_up_to_all_queries(collection, index, reranker, tmp_path, reranked, queries):
    if queries != "as they are":
        nothing = dict.fromkeys(collection.queries, "zzqx")
        collection = replace(collection, queries=nothing, qrels={q: {} for q in nothing})
    ticks: list[float] = []
    evaluate_cell(
        collection,
        index,
        System("bm25", 5, "tiny" if reranked else None),
        SecondStage(reranker, None, ScoreCache(tmp_path, reranker)) if reranked else None,
        scorer=Scorer(collection.qrels, MEASURES),
        sbert_at_k=10,
        runs=None,
        progress=ticks.append,
    )
    assert sum(ticks) == pytest.approx(len(collection.qrels))


def test_documents_are_read_only_to_be_reranked(collection, index):
    for reranked in (True, False):
        source = CandidateSource(
            collection, index, "hybrid", 3, reranked=reranked, with_scores=False
        )
        found = list(source.candidates(list(collection.qrels)))
        assert all(len(one.retrieved) == 3 for one in found)
        documents = [hit.document for one in found for hit in one.retrieved]
        assert all((document is not None) == reranked for document in documents)


def test_cost_is_measured_on_searches(collection, index, reranker):
    queries = list(collection.queries.values())
    cost = measure_cost(index, System("hybrid", 5, "tiny"), reranker, False, queries)
    assert cost.queries == len(queries)
    assert {"first_stage", "documents", "rerank", "total"} <= cost.latency_ms.keys()
    for stage in cost.latency_ms.values():
        assert 0 <= stage["p50"] <= stage["p95"] <= stage["p99"]
    assert cost.pairs_per_second is not None
    assert cost.pairs_per_second > 0
    assert cost.truncated_share is not None
    assert 0 <= cost.truncated_share <= 1
    assert cost.index_bytes > 10_000
    assert cost.peak_memory_bytes is None or cost.peak_memory_bytes > 10_000_000

    alone = measure_cost(index, System("bm25", 5, None), None, False, queries)
    assert "rerank" not in alone.latency_ms
    assert alone.pairs_per_second is None


def test_the_collection_itself_is_never_changed(cell, collection: JudgedCollection, reranker):
    before = {query: dict(grades) for query, grades in collection.qrels.items()}
    cell("hybrid", 5, reranker, FUSION)
    assert collection.qrels == before
