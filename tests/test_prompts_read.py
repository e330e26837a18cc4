"""The texts that an encoder reads, at its tokenizer, wherever queries and documents are encoded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from transformers import PreTrainedTokenizerBase

from rerank_search import Document, Index, Searcher
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import Experiment
from rerank_search.models.bert_tokenizer import BertTokenizer
from rerank_search.training.data.mining import mined_set
from rerank_search.training.recipe.sources import Negatives, Source

TEXTS = {"a": "the red bird", "b": "a boat on the sea", "c": "an old tower", "d": "the blue sea"}
QUERIES = {"q1": "which bird is red", "q2": "what is on the sea"}
DOCUMENTS_READ = {f"passage: {text}" for text in TEXTS.values()}
QUERIES_READ = {f"query: {text}" for text in QUERIES.values()}
PROBE_READ = "passage: An index knows its encoder by the vector of this sentence."


class Case(NamedTuple):
    """Arguments of an index, and the function that tokenises for its encoder."""

    made_with: dict[str, str]
    tokenizer: Any


@pytest.fixture(params=["the prompts of the model", "prompts that are given"])
def case(request, prompted_encoder, tiny_encoder: Path) -> Case:
    if request.param == "the prompts of the model":
        encoder = prompted_encoder({"query": "query: ", "document": "passage: "})
        return Case({"encoder": str(encoder)}, PreTrainedTokenizerBase.__call__)
    prompts = {"query_prompt": "query: ", "document_prompt": "passage: "}
    return Case({"encoder": str(tiny_encoder), **prompts}, BertTokenizer.__call__)


@pytest.fixture
def read(when_called, case: Case) -> Callable[[], Any]:
    """A context in which a set gathers the texts that are tokenised to be encoded."""

    @contextmanager
    def reading() -> Iterator[set[str]]:
        texts: set[str] = set()

        def notice(call: dict[str, Any]) -> None:
            if not call["return_offsets_mapping"]:  # which splitting documents asks for
                texts.update([call["text"]] if isinstance(call["text"], str) else call["text"])

        with when_called(case.tokenizer, notice):
            yield texts
        texts -= {"query: ", "passage: "}  # sentence-transformers counts the tokens of a prompt

    return reading


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", TEXTS), ("queries", QUERIES)):
        lines = [json.dumps({"_id": id, "text": text}) for id, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    for split in ("test", "train"):
        judged = "query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\tb\t1\n"
        (folder / f"qrels/{split}.tsv").write_text(judged)
    return folder


def test_an_index_reads_documents_and_a_search_reads_the_query(
    read, case: Case, tmp_path: Path
) -> None:
    with Index.create(tmp_path / "index", **case.made_with) as index:
        with read() as texts:
            index.add([Document(id, text) for id, text in TEXTS.items()])
        assert texts == DOCUMENTS_READ
        with read() as texts:
            index.retriever("dense").retrieve(list(QUERIES.values()), 2)
        assert texts == QUERIES_READ
        with read() as texts:
            index.rebuild()
        assert texts == DOCUMENTS_READ
    with Index.open(tmp_path / "index") as index:
        bm25 = index.retriever("bm25").retrieve(["red"], 2)
        with read() as texts:
            index.stage_scores(["red"], bm25)
        assert texts == {"query: red"}
        with read() as texts:
            Searcher(index, reranker=None).search("which bird is red", top_k=1)
        assert texts == {"query: which bird is red"}
        with read() as texts:
            assert index.verify() == []
        assert texts == {PROBE_READ}


def test_an_evaluation_reads_documents_and_queries(
    read, case: Case, tmp_path: Path, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
    experiment = Experiment.model_validate(
        {
            "collections": [str(collection)],
            "first_stages": ["dense"],
            "candidates": [2],
            "index": case.made_with,
            "cost_queries": 0,
            "statistics": {"resamples": 100},
        }
    )
    with read() as texts:
        evaluate(experiment, tmp_path / "out")
    assert texts == DOCUMENTS_READ | QUERIES_READ | {PROBE_READ}


@pytest.mark.parametrize("case", ["the prompts of the model"], indirect=True)
def test_mining_reads_documents_and_queries(
    read, case: Case, tmp_path: Path, collection: Path
) -> None:
    negatives = {"ranks": (1, 4), "per_query": 1, "random": 0, "first_stages": ["dense"]}
    with read() as texts:
        mined_set(
            Source(collection=collection),
            Negatives.model_validate(negatives | case.made_with),
            None,
            seed=1,
            file=tmp_path / "mined.jsonl",
            cache=tmp_path / "cache",
        )
    assert texts == DOCUMENTS_READ | QUERIES_READ | {PROBE_READ}
