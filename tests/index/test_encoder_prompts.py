"""Encoders with prompts, or with different modules for queries and documents, in an index."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

from rerank_search import Document, Index, InvalidInputError, __version__
from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import IndexMismatchError
from rerank_search.index.query_vectors import QueryVectors
from rerank_search.index_names import DOCUMENTS as STORED
from rerank_search.judged.corpus_index import content_key
from rerank_search.models.registry import fingerprint
from rerank_search.retrieval.encoder import Encoder
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.manifest import Manifest
from rerank_search.storage.passages import Passages

E5 = {"query": "query: ", "document": "passage: "}
TEXTS = {"a": "the red bird", "b": "a boat on the sea", "c": "an old tower in the city"}
DOCUMENTS = [Document(id, text) for id, text in TEXTS.items()]
QUERY = "which bird is red"


def filled(path: Path, encoder: Path, **options) -> Index:
    index = Index.create(path, encoder=str(encoder), **options)
    index.add(DOCUMENTS)
    return index


def cosines(index: Index, query: str = QUERY) -> dict[str, float]:
    [hits] = index.retriever("dense").retrieve([query], 3)
    return {hit.id: hit.score for hit in hits}


def expected_cosines(encoder: Path, query_prompt: str, document_prompt: str) -> dict[str, float]:
    """The cosines by sentence-transformers alone, with the prompts written before the texts."""
    model = SentenceTransformer(str(encoder), device="cpu")
    documents = [document_prompt + text for text in TEXTS.values()]
    [query] = model.encode([query_prompt + QUERY], prompt="", normalize_embeddings=True)
    vectors = model.encode(documents, prompt="", normalize_embeddings=True)
    return dict(zip(TEXTS, (vectors @ query).tolist(), strict=True))


def made_by_an_earlier_version(index: Path) -> None:
    """Remove everything that an earlier version did not write."""
    for file, holder in ((index / "manifest.json", "encoder"), (index / "dense/state.json", None)):
        content = json.loads(file.read_text())
        del (content if holder is None else content[holder])["prompts"]
        file.write_text(json.dumps(content))


def give_prompts(encoder: Path, prompts: dict[str, str], default: str | None = None) -> None:
    file = encoder / "config_sentence_transformers.json"
    settings = json.loads(file.read_text())
    settings |= {"prompts": prompts, "default_prompt_name": default}
    file.write_text(json.dumps(settings))


@pytest.fixture
def old_index(tiny_encoder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """An index made without prompts, and its encoder, which has some."""
    encoder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    with filled(tmp_path / "index", encoder):
        pass
    made_by_an_earlier_version(tmp_path / "index")
    give_prompts(encoder, E5)
    return tmp_path / "index", encoder


@pytest.mark.parametrize(
    ("prompts", "default", "query", "document"),
    [
        (E5, None, "query: ", "passage: "),
        ({"query": "query: ", "passage": "passage: "}, None, "query: ", "passage: "),
        ({"query": "find the answer: "}, None, "find the answer: ", ""),
        ({"query": "query: "}, "query", "query: ", ""),
        ({"search_query": "query: ", "search_document": "passage: "}, None, "", ""),
        ({"retrieval": "search: "}, "retrieval", "", ""),
    ],
)
def test_queries_and_documents_get_their_own_prompts(
    prompted_encoder, tmp_path: Path, prompts, default, query, document
) -> None:
    encoder = prompted_encoder(prompts, default)
    with filled(tmp_path / "index", encoder) as index:
        expected = expected_cosines(encoder, query, document)
        assert cosines(index) == pytest.approx(expected, abs=1e-5)
        assert index.verify() == []
    with Index.open(tmp_path / "index", read_only=True) as again:
        assert cosines(again) == pytest.approx(expected, abs=1e-5)


def test_the_vectors_are_those_of_encode_query_and_encode_document(prompted_encoder) -> None:
    directory = prompted_encoder(E5)
    encoder, theirs = Encoder(str(directory)), SentenceTransformer(str(directory), device="cpu")
    texts = [QUERY, *TEXTS.values()]
    for task, theirs_of in (("query", theirs.encode_query), ("document", theirs.encode_document)):
        ours = encoder.encode(texts, task=task, prompt=encoder.prompts.of(task))
        np.testing.assert_allclose(ours, theirs_of(texts, normalize_embeddings=True), atol=1e-5)


def test_a_model_without_prompts_gives_the_same_bits_for_every_task(tiny_encoder: Path) -> None:
    encoder = Encoder(str(tiny_encoder))
    texts = ["red bird", "the river and the sea " * 9, "", *TEXTS.values()]
    plain = encoder.encode(texts)
    for task in ("query", "document"):
        np.testing.assert_array_equal(encoder.encode(texts, task=task, prompt=""), plain)


def test_a_prompt_is_left_out_of_the_mean_where_the_pooling_says_so(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    model = SentenceTransformer(str(tiny_encoder), device="cpu", prompts=E5)
    model.set_pooling_include_prompt(include_prompt=False)
    model.save(str(tmp_path), create_model_card=False)
    texts = list(TEXTS.values())
    ours = Encoder(str(tmp_path)).encode(texts, task="document", prompt="passage: ")
    theirs = model.encode_document(texts, normalize_embeddings=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_scores_that_a_fusion_weighs_have_the_prompts(prompted_encoder, tmp_path: Path) -> None:
    encoder = prompted_encoder(E5)
    with filled(tmp_path / "index", encoder) as index:
        found = index.retriever("bm25").retrieve([QUERY], 3)
        [hits] = index.stage_scores([QUERY], found)
        expected = expected_cosines(encoder, "query: ", "passage: ")
        assert hits
        for hit in hits:
            assert hit.stage_scores["dense"] == pytest.approx(expected[hit.id], abs=1e-5)


def test_the_same_text_is_remembered_apart_for_each_prompt(prompted_encoder) -> None:
    encoder = Encoder(str(prompted_encoder(E5)))
    vectors = QueryVectors(encoder)
    for options in ({}, {"task": "query", "prompt": "query: "}, {"task": "query", "prompt": ""}):
        first = vectors.encode(["red bird"], **options)
        np.testing.assert_array_equal(first, encoder.encode(["red bird"], **options))
        np.testing.assert_array_equal(vectors.encode(["red bird"], **options), first)


def test_a_passage_fits_the_window_together_with_the_prompt(
    prompted_encoder, tmp_path: Path
) -> None:
    encoder = prompted_encoder({"query": "", "document": "the passage of a document: "})
    with Index.create(tmp_path / "index", encoder=str(encoder)) as index:
        index.add([Document("long", "the river and the sea. " * 60, title="red boat")])
        assert index.info().passage_tokens == 64 - 6
        tokenizer = SentenceTransformer(str(encoder), device="cpu").tokenizer
        with closing(DocumentStore(index.path / STORED, read_only=True)) as store:
            lengths = [
                len(tokenizer(f"the passage of a document: {passage.text}")["input_ids"])
                for passage in store.corpus()
            ]
        assert len(lengths) > 1
        assert max(lengths) == 64


def test_passages_that_fit_only_without_the_prompt_are_refused(
    prompted_encoder, tmp_path: Path
) -> None:
    encoder = prompted_encoder(E5)
    with pytest.raises(InvalidInputError, match="which is 62 without its prompt 'passage: '"):
        Index.create(tmp_path / "index", encoder=str(encoder), passages=Passages(tokens=64))


def test_a_prompt_that_leaves_no_room_for_a_passage_is_refused(
    prompted_encoder, tmp_path: Path
) -> None:
    encoder = prompted_encoder({"document": "the " * 50})
    with pytest.raises(InvalidInputError, match="leaves 14 of its 64 tokens for a passage"):
        Index.create(tmp_path / "index", encoder=str(encoder))


def test_the_manifest_records_the_prompts(prompted_encoder, tmp_path: Path) -> None:
    with filled(tmp_path / "index", prompted_encoder(E5)):
        recorded = Manifest.read(tmp_path / "index").encoder
    assert recorded is not None
    assert recorded.prompts is not None
    assert recorded.prompts.model_dump() == {"query": "query: ", "document": "passage: "}


GIVEN = {"query_prompt": "query: ", "document_prompt": "passage: "}


def test_prompts_can_be_given_to_a_model_that_has_none(tiny_encoder: Path, tmp_path: Path) -> None:
    expected = expected_cosines(tiny_encoder, "query: ", "passage: ")
    with filled(tmp_path / "index", tiny_encoder, **GIVEN) as index:
        assert cosines(index) == pytest.approx(expected, abs=1e-5)
        assert index.info().passage_tokens == 62
        assert index.verify() == []
    moved = Path(shutil.copytree(tiny_encoder, tmp_path / "moved"))
    for place in (None, moved):
        with Index.open(tmp_path / "index", encoder=place) as again:
            assert cosines(again) == pytest.approx(expected, abs=1e-5)
            again.rebuild()
            assert cosines(again) == pytest.approx(expected, abs=1e-5)
            assert again.verify() == []


def test_an_index_keeps_the_prompts_by_hand_with_which_it_was_rebuilt(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    filled(tmp_path / "index", tiny_encoder).close()
    with Index.open(tmp_path / "index", encoder=Encoder(tiny_encoder, **GIVEN)) as index:
        [problem] = index.verify()
        assert "rebuild" in problem
        index.rebuild()
        expected = cosines(index)
    with Index.open(tmp_path / "index") as again:
        assert again.verify() == []
        again.rebuild()
        assert cosines(again) == pytest.approx(expected, abs=1e-6)


def test_given_prompts_replace_those_of_the_model(prompted_encoder, tmp_path: Path) -> None:
    encoder = prompted_encoder(E5)
    with filled(tmp_path / "index", encoder, query_prompt="", document_prompt="text: ") as index:
        assert cosines(index) == pytest.approx(expected_cosines(encoder, "", "text: "), abs=1e-5)


def test_a_prompt_that_leaves_no_room_for_a_query_is_refused(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="leaves 14 of its 64 tokens for a query"):
        Index.create(tmp_path / "index", encoder=tiny_encoder, query_prompt="the " * 50)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("given", [*GIVEN.items(), ("truncate_dim", 8)])
def test_settings_of_an_encoder_need_one(tmp_path: Path, given: tuple) -> None:
    with pytest.raises(InvalidInputError, match=f"encoder=None and {given[0]}"):
        Index.create(tmp_path / "index", encoder=None, **dict([given]))


def test_shortened_vectors_are_recorded_and_made_again(tiny_encoder: Path, tmp_path: Path) -> None:
    with filled(tmp_path / "index", tiny_encoder, truncate_dim=8, vector_dtype="int8") as index:
        before = cosines(index)
        assert index.info().dimension == 8
    recorded = Manifest.read(tmp_path / "index").encoder
    assert recorded is not None
    assert (recorded.dimension, recorded.truncate_dim, recorded.pooling) == (8, 8, "mean")
    with Index.open(tmp_path / "index") as again:
        assert cosines(again) == before
        assert again.verify() == []
        again.rebuild()
        assert cosines(again) == before
    with pytest.raises(IndexMismatchError, match="32 dimensions instead of 8"):
        Index.open(tmp_path / "index", encoder=Encoder(tiny_encoder))


def test_more_dimensions_than_the_model_has_leave_nothing_behind(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="truncate_dim=64 is more than the 32 dimensions"):
        Index.create(tmp_path / "index", encoder=tiny_encoder, truncate_dim=64)
    assert not (tmp_path / "index").exists()


def test_another_pooling_is_told_by_name(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    with filled(tmp_path / "index", encoder):
        pass
    [file] = encoder.glob("1_Pooling/config.json")
    file.write_text(file.read_text().replace('"mean"', '"cls"'))
    with Index.open(tmp_path / "index") as index:
        [problem] = index.verify()
        assert "cls pooling instead of mean" in problem


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_smaller_vectors_survive_updates_and_filters(
    tiny_encoder: Path, tmp_path: Path, dtype
) -> None:
    exact = expected_cosines(tiny_encoder, "", "")
    with filled(tmp_path / "index", tiny_encoder, vector_dtype=dtype) as index:
        assert cosines(index) == pytest.approx(exact, abs=0.01)
        [hits] = index.retriever("bm25").retrieve([QUERY], 3)
        [scored] = index.stage_scores([QUERY], [hits])
        dense = {hit.id: hit.stage_scores["dense"] for hit in scored}
        assert dense == pytest.approx({id: cosines(index)[id] for id in dense}, abs=1e-6)
        index.add([Document("a", "an old boat", metadata={"kind": "new"})])
        [found] = index.retriever("dense").retrieve([QUERY], 3, filter={"kind": "new"})
        assert [hit.id for hit in found] == ["a"]
        after = cosines(index)
        index.compact()
        assert cosines(index) == after
    with Index.open(tmp_path / "index") as again:
        assert again.verify() == []
        again.rebuild()
        assert cosines(again) == after


def test_an_index_made_without_prompts_ranks_as_before(old_index) -> None:
    path, encoder = old_index
    with Index.open(path) as index:
        expected = expected_cosines(encoder, "", "")
        assert cosines(index) == pytest.approx(expected, abs=1e-5)
        index.add([Document("d", "the red bird")])  # like the others, without a prompt
        scores = cosines(index)
        assert scores["d"] == pytest.approx(scores["a"], abs=1e-5)


def test_an_index_made_with_the_default_prompt_for_all_texts_ranks_as_before(
    prompted_encoder, tmp_path: Path
) -> None:
    encoder = prompted_encoder({"query": "query: "}, "query")
    # An earlier version put the default prompt before documents too.
    give_prompts(encoder, {"query": "query: ", "document": "query: "})
    with filled(tmp_path / "index", encoder):
        pass
    made_by_an_earlier_version(tmp_path / "index")
    give_prompts(encoder, {"query": "query: "}, "query")
    with Index.open(tmp_path / "index") as index:
        expected = expected_cosines(encoder, "query: ", "query: ")
        assert cosines(index) == pytest.approx(expected, abs=1e-5)
        assert len(index.verify()) == 1
        index.rebuild()
        expected = expected_cosines(encoder, "query: ", "")
        assert cosines(index) == pytest.approx(expected, abs=1e-5)


def test_verify_says_what_a_rebuild_would_change_and_the_rebuild_does_it(old_index) -> None:
    path, encoder = old_index
    with Index.open(path) as index:
        [problem] = index.verify()
        assert "'query: ' before queries and 'passage: ' before documents" in problem
        assert "`rerank-search index rebuild`" in problem
        index.rebuild()
        assert index.verify() == []
        expected = expected_cosines(encoder, "query: ", "passage: ")
        assert cosines(index) == pytest.approx(expected, abs=1e-5)
        assert index.info().passage_tokens == 62
    with Index.open(path) as again:
        assert again.verify() == []
        assert cosines(again) == pytest.approx(expected, abs=1e-5)
    recorded = Manifest.read(path).encoder
    assert recorded is not None
    assert recorded.prompts is not None
    assert recorded.prompts.query == "query: "


def test_an_open_reader_follows_a_rebuild_with_prompts(old_index) -> None:
    path, encoder = old_index
    with Index.open(path, read_only=True) as reader:
        before = cosines(reader)
        with Index.open(path) as writer:
            writer.rebuild()
        assert before == pytest.approx(expected_cosines(encoder, "", ""), abs=1e-5)
        expected = expected_cosines(encoder, "query: ", "passage: ")
        assert cosines(reader) == pytest.approx(expected, abs=1e-5)


def test_an_index_keeps_its_prompts_when_those_of_the_model_change(
    prompted_encoder, tmp_path: Path
) -> None:
    encoder = prompted_encoder(E5)
    with filled(tmp_path / "index", encoder):
        pass
    give_prompts(encoder, {"query": "find: ", "document": "text: "})
    with Index.open(tmp_path / "index") as index:
        expected = expected_cosines(encoder, "query: ", "passage: ")
        assert cosines(index) == pytest.approx(expected, abs=1e-5)
        [problem] = index.verify()
        assert "made with 'query: ' before queries" in problem
        assert "has 'find: ' before queries" in problem


def test_an_index_of_an_earlier_version_without_prompts_to_use_has_no_problem(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    with filled(tmp_path / "index", tiny_encoder) as index:
        before = cosines(index)
    made_by_an_earlier_version(tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        assert cosines(index) == before
        assert index.verify() == []


def test_prompts_by_names_that_nobody_asks_for_are_told(
    prompted_encoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = prompted_encoder({"search_query": "q: ", "search_document": "d: "})
    with caplog.at_level(logging.WARNING, "rerank_search"):
        Index.create(tmp_path / "index", encoder=str(encoder)).close()
    assert "has the prompts 'search_query', 'search_document'" in caplog.text


def test_queries_and_documents_go_through_their_own_modules(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    def transformer(window: int) -> list:
        model = SentenceTransformer(str(tiny_encoder), device="cpu")
        model[0].max_seq_length = window
        return [model[0], model[1]]

    queries, documents = transformer(64), transformer(48)
    queries[0].model.embeddings.word_embeddings.weight.data.mul_(-1)
    router = Router.for_query_document(query_modules=queries, document_modules=documents)
    model = SentenceTransformer(modules=[router, Normalize()], device="cpu", prompts=E5)
    model.save(str(tmp_path / "routed"), create_model_card=False)
    assert Encoder(str(tmp_path / "routed")).window == 48
    with filled(tmp_path / "index", tmp_path / "routed") as index:
        [query] = model.encode_query([QUERY], normalize_embeddings=True)
        vectors = model.encode_document(list(TEXTS.values()), normalize_embeddings=True)
        expected = dict(zip(TEXTS, (vectors @ query).tolist(), strict=True))
        assert cosines(index) == pytest.approx(expected, abs=1e-5)
        assert index.verify() == []


def test_a_static_model_has_passages_of_256_tokens(tiny_encoder: Path, tmp_path: Path) -> None:
    tokenizer = SentenceTransformer(str(tiny_encoder), device="cpu").tokenizer
    static = StaticEmbedding(tokenizer, embedding_dim=16)
    SentenceTransformer(modules=[static], device="cpu", prompts=E5).save(
        str(tmp_path / "static"), create_model_card=False
    )
    assert Encoder(str(tmp_path / "static")).window is None
    with Index.create(tmp_path / "index", encoder=str(tmp_path / "static")) as index:
        index.add([Document("long", "the river and the sea. " * 100)])
        assert index.info().passage_tokens == 256
        assert index.info().passages == 3
        assert index.verify() == []
    with Index.open(tmp_path / "index", read_only=True) as again:
        [[hit]] = again.retriever("dense").retrieve(["the river"], 1)
        assert hit.span is not None


def test_a_cached_index_of_an_evaluation_made_without_prompts_is_not_used(
    tiny_encoder: Path, prompted_encoder
) -> None:
    def key(settings: IndexSettings) -> str:
        return content_key(iter(DOCUMENTS), settings)

    def earlier_key(settings: IndexSettings) -> str:
        """As a version without prompts named the same index."""
        options = settings.model_dump(mode="json", exclude={"encoder", "hybrid"})
        made_with = [options, fingerprint(Path(settings.encoder)), {"analysis": 2}]
        digest = hashlib.sha256(json.dumps([__version__, *made_with]).encode())
        for document in DOCUMENTS:
            fields = [document.id, document.title, document.text]
            digest.update(json.dumps(fields).encode() + b"\n")
        return digest.hexdigest()[:32]

    plain, prompted = (
        IndexSettings(encoder=str(each), hybrid="rrf")  # as earlier versions fused
        for each in (tiny_encoder, prompted_encoder(E5))
    )
    assert key(plain) == earlier_key(plain)
    assert key(prompted) != earlier_key(prompted)
