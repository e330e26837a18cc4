from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_index.core.indices.query.query_transform.base import HyDEQueryTransform
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import TransformRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from pydantic import SecretStr

from rerank_search import (
    CrossEncoderReranker,
    Document,
    FilterWarning,
    Index,
    IndexNotFoundError,
    InvalidInputError,
    RemoteSearcher,
    Searcher,
)
from rerank_search.client import ServerError
from rerank_search.context import pack
from rerank_search.plugins.llama_index import RerankSearchPostprocessor, RerankSearchRetriever
from tests.client.conftest import Served
from tests.plugins.conftest import QUERIES, QUERY

BOATS = MetadataFilters(filters=[MetadataFilter(key="word", value="boat")])


@pytest.fixture
def retriever(searcher: Searcher) -> RerankSearchRetriever:
    return RerankSearchRetriever(searcher)


def ids(nodes: list[NodeWithScore]) -> list[str]:
    return [each.node_id for each in nodes]


def both(retriever: RerankSearchRetriever, query: str | QueryBundle = QUERY) -> list[NodeWithScore]:
    """The same nodes from both methods."""
    found = retriever.retrieve(query)
    assert asyncio.run(retriever.aretrieve(query)) == found
    return found


def test_nodes_are_those_of_a_search_with_their_metadata(
    retriever: RerankSearchRetriever, searcher: Searcher
):
    hits = searcher.search(QUERY).hits
    found = both(retriever)
    assert ids(found) == [hit.id for hit in hits]
    for each, hit in zip(found, hits, strict=True):
        assert each.text == hit.document.text
        assert type(each.score) is float
        assert each.score == pytest.approx(hit.score)
        title = {"title": hit.document.title} if hit.document.title else {}
        assert each.metadata == {**title, **hit.document.metadata}
        assert json.dumps(each.to_dict())


def test_the_score_is_a_probability_if_the_reranker_is_calibrated(notes: Path, calibrated: Path):
    retriever = RerankSearchRetriever(index=notes, reranker=str(calibrated))
    scores = [each.get_score() for each in retriever.retrieve(QUERY)]
    assert all(0 < score < 1 for score in scores)
    assert scores == sorted(scores, reverse=True)
    kept = retriever.with_options(min_relevance=scores[1]).retrieve(QUERY)
    assert [each.score for each in kept] == scores[:2]
    assert both(retriever.with_options(min_relevance=1.0)) == []
    retriever.close()


@pytest.mark.parametrize("where", ["folder", "url", "remote"])
def test_it_is_the_same_wherever_the_index_is(
    where: str, notes: Path, tiny_reranker: Path, server: Served, retriever: RerankSearchRetriever
):
    remote = RemoteSearcher(server.url, "notes")
    given = {
        "folder": lambda: RerankSearchRetriever(index=notes, reranker=str(tiny_reranker), top_k=3),
        "url": lambda: RerankSearchRetriever(index=f"{server.url}/v1/indexes/notes", top_k=3),
        "remote": lambda: RerankSearchRetriever(remote, top_k=3),
    }[where]()
    expected = retriever.with_options(top_k=3).retrieve(QUERY)
    for found in (given.retrieve(QUERY), asyncio.run(given.aretrieve(QUERY))):
        assert [each.node for each in found] == [each.node for each in expected]
        for each, other in zip(found, expected, strict=True):
            assert each.score == pytest.approx(other.score, abs=1e-4)
    given.close()
    remote.close()


ARGUMENTS = [
    {"similarity_top_k": 2},
    {"top_k": 2, "candidates": 3},
    {"filter": {"word": "boat"}},
    {"filters": BOATS},
    {"rerank": False, "first_stage": "bm25"},
    {"budget_ms": 60_000},
    {"top_k": 1, "text": "passage"},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_options_are_taken_by_the_constructor_and_for_some_calls(
    arguments, searcher: Searcher, retriever: RerankSearchRetriever
):
    names = {"similarity_top_k": "top_k", "filters": "filter"}
    options = {names.get(name, name): value for name, value in arguments.items()}
    options.pop("text", None)
    if "filter" in options:
        options["filter"] = {"word": "boat"}
    expected = [hit.id for hit in searcher.search(QUERY, **options).hits]
    assert expected
    assert ids(both(RerankSearchRetriever(searcher, **arguments))) == expected
    assert ids(both(retriever.with_options(**arguments))) == expected
    assert len(retriever.retrieve(QUERY)) == 10


def test_the_last_filter_wins_and_none_is_no_filter(retriever: RerankSearchRetriever):
    boats = retriever.with_options(filters=BOATS, top_k=20)
    assert len(boats.retrieve(QUERY)) == 4
    assert len(boats.with_options(filter={"number": 1}).retrieve(QUERY)) == 8
    assert len(boats.with_options(filters=None).retrieve(QUERY)) == 20
    assert len(boats.with_options(filters=None, filter={"number": 1}).retrieve(QUERY)) == 8


def test_unknown_and_invalid_arguments_are_refused(
    searcher: Searcher, retriever: RerankSearchRetriever
):
    for wrong, error in (
        ({"topk": 3}, TypeError),
        ({"k": 3}, TypeError),
        ({"top_k": 0}, InvalidInputError),
        ({"similarity_top_k": 0}, InvalidInputError),
        ({"similarity_top_k": 2, "top_k": 3}, InvalidInputError),
        ({"filter": {}, "filters": BOATS}, InvalidInputError),
        ({"filters": {"word": "boat"}}, InvalidInputError),
        ({"text": "some"}, InvalidInputError),
        ({"context_tokens": 0}, InvalidInputError),
        ({"context_tokens": 9, "text": "passage"}, InvalidInputError),
        ({"rerank": False, "budget_ms": 5}, InvalidInputError),
    ):
        with pytest.raises(error):
            RerankSearchRetriever(searcher, **wrong)
        with pytest.raises(error):
            retriever.with_options(**wrong)
    for wrong in ({"first_stage": "dense"}, {"min_relevance": 0.5}, {"filter": {"$nor": 1}}):
        failing = retriever.with_options(**wrong)
        with pytest.raises(InvalidInputError):
            failing.retrieve(QUERY)
        with pytest.raises(InvalidInputError):
            asyncio.run(failing.aretrieve(QUERY))
    for wrong in ({}, {"searcher": searcher, "index": "notes"}, {"index": 5}, {"index": ""}):
        with pytest.raises((InvalidInputError, IndexNotFoundError)):
            RerankSearchRetriever(**wrong).retrieve(QUERY)


def test_a_query_that_an_index_cannot_search_by_is_refused(retriever: RerankSearchRetriever):
    assert both(retriever, QueryBundle(QUERY, custom_embedding_strs=[QUERY], embedding=[0.0]))
    for wrong in ({"custom_embedding_strs": ["an answer"]}, {"image_path": "boat.png"}):
        bundle = QueryBundle(QUERY, **wrong)
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            retriever.retrieve(bundle)
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            asyncio.run(retriever.aretrieve(bundle))
    made_up = TransformRetriever(retriever, HyDEQueryTransform(llm=MockLLM()))
    with pytest.raises(InvalidInputError, match="encodes query_str itself"):
        made_up.retrieve(QUERY)


def test_a_filter_that_names_an_unknown_key_is_warned_about(retriever: RerankSearchRetriever):
    with pytest.warns(FilterWarning, match="there are 'word'"):
        assert retriever.with_options(filter={"wrod": "boat"}).retrieve(QUERY) == []


def test_nothing_to_find_gives_no_nodes(retriever: RerankSearchRetriever):
    assert both(retriever, "") == both(retriever.with_options(filter={"word": "x"})) == []


def test_a_server_that_is_down_or_asks_for_a_key_is_a_server_error(guarded: tuple[str, str]):
    down = RerankSearchRetriever(RemoteSearcher("http://127.0.0.1:9", "x", retries=0))
    with pytest.raises(ServerError, match="serve` runs there"):
        down.retrieve(QUERY)
    with pytest.raises(ServerError, match="serve` runs there"):
        asyncio.run(down.aretrieve(QUERY))
    url, secret = guarded
    without = RerankSearchRetriever(index=url)
    with pytest.raises(ServerError, match="api_key"):
        without.retrieve(QUERY)
    without.close()
    for key in (secret, SecretStr(secret)):
        retriever = RerankSearchRetriever(index=url, api_key=key)
        assert retriever.retrieve(QUERY)
        retriever.close()


def test_a_server_that_does_not_answer_is_a_server_error(silent: RemoteSearcher):
    retriever = RerankSearchRetriever(silent)
    with pytest.raises(ServerError):
        retriever.retrieve(QUERY)
    with pytest.raises(ServerError):
        asyncio.run(retriever.aretrieve(QUERY))


def test_threads_that_ask_first_together_load_once(notes: Path, tiny_reranker: Path, in_threads):
    retriever = RerankSearchRetriever(index=notes, reranker=str(tiny_reranker), top_k=3)
    results, loaded = in_threads(lambda: ids(retriever.retrieve(QUERY)))
    assert results == [ids(retriever.retrieve(QUERY))] * 32
    assert loaded == 1
    retriever.close()


def test_calls_at_the_same_time_find_the_same_while_the_loop_goes_on(
    retriever: RerankSearchRetriever, counted
):
    found, ticks = counted([retriever.aretrieve(query) for query in QUERIES])
    assert len(found) == 32
    assert found == [retriever.retrieve(query) for query in QUERIES]
    assert ticks > 10 * len(QUERIES)


def test_one_retriever_works_in_one_loop_after_another(server: Served):
    retriever = RerankSearchRetriever(index=f"{server.url}/v1/indexes/notes")
    found = [ids(asyncio.run(retriever.aretrieve(QUERY))) for _ in range(3)]
    assert found[0]
    assert found == [found[0]] * 3
    retriever.close()


def test_a_copy_opens_the_index_again(notes: Path, tiny_reranker: Path):
    retriever = RerankSearchRetriever(index=notes, reranker=str(tiny_reranker), top_k=2)
    expected = retriever.retrieve(QUERY)
    copied = copy.deepcopy(retriever)
    retriever.close()
    assert copied.retrieve(QUERY) == expected
    copied.close()


def test_an_index_that_is_being_written_is_searched_all_the_while(tmp_path: Path):
    Index.create(tmp_path / "growing", encoder=None).close()
    retriever = RerankSearchRetriever(index=tmp_path / "growing", reranker=None)

    def documents() -> Iterator[Document]:
        yield Document("a", "join the paths")
        assert retriever.retrieve("paths") == []
        yield Document("b", "join the paths")

    with Index.open(tmp_path / "growing") as index:
        index.add(documents(), batch_size=1)
    # The same text under two ids is two nodes.
    assert ids(both(retriever, "paths")) == ["a", "b"]
    retriever.close()


WORDS = ["river sea boat.", "join the paths.", "bread in the oven."]
LONG = " ".join(word for word in WORDS for _ in range(300))


@pytest.fixture
def long(tmp_path: Path) -> Iterator[Searcher]:
    """A searcher of two long documents with the same text, without a second stage."""
    with Index.create(tmp_path / "long", encoder=None) as index:
        index.add(Document(id, LONG, f"Title {id}", {"url": f"x:{id}"}) for id in ("a", "b"))
        yield Searcher(index, None)


def test_passages_and_duplicates_are_in_the_metadata_but_not_in_prompts(long: Searcher):
    retriever = RerankSearchRetriever(
        long, passages_per_document=2, collapse_duplicates=True, text="passage"
    )
    [found] = both(retriever, "paths boat")
    assert (found.node_id, found.metadata["duplicates"]) == ("a", ["b"])
    first, second = found.metadata["passages"]
    assert first["text"] == found.text == LONG[slice(*first["span"])]
    assert [found.node.start_char_idx, found.node.end_char_idx] == first["span"]
    assert second["text"] == LONG[slice(*second["span"])]
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert found.get_content(mode) == f"title: Title a\nurl: x:a\n\n{found.text}"


def test_a_prompt_has_the_packed_context_as_it_is(long: Searcher):
    retriever = RerankSearchRetriever(long, context_tokens=300, passages_per_document=2)
    response = long.search("paths boat", passages_per_document=2)
    expected = pack(response, tokens=300)
    found = both(retriever, "paths boat")
    assert "\n\n".join(each.get_content(MetadataMode.LLM) for each in found) == expected.text
    assert ids(found) == [citation.id for citation in expected.citations]
    scores = {hit.id: hit.score for hit in response.hits}
    assert [each.score for each in found] == [scores[each.node_id] for each in found]
    assert found[0].metadata == {"title": "Title a", "url": "x:a"}
    answer = RetrieverQueryEngine.from_args(retriever, llm=MockLLM()).query("paths boat")
    assert expected.text in str(answer)
    assert both(retriever, "") == []


def test_a_query_engine_uses_both_classes(
    retriever: RerankSearchRetriever, reranker: CrossEncoderReranker
):
    engine = RetrieverQueryEngine.from_args(
        retriever.with_options(rerank=False, top_k=20),
        llm=MockLLM(),
        node_postprocessors=[RerankSearchPostprocessor(reranker=reranker, top_n=2)],
    )
    answer = engine.query(QUERY)
    assert len(answer.source_nodes) == 2
    assert answer.source_nodes[0].text in str(answer)
    assert asyncio.run(engine.aquery(QUERY)).source_nodes == answer.source_nodes
