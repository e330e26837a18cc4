from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.retrieval.base import Passage
from rerank_search.retrieval.bert_encoder import TOKENIZED_AT_ONCE
from rerank_search.retrieval.dense import VectorIndex
from rerank_search.retrieval.encoder import Encoder


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> Encoder:
    return Encoder(str(tiny_encoder), device="cpu")


def test_vectors_have_length_1(encoder: Encoder) -> None:
    vectors = encoder.encode(["red bird", "the river and the sea", ""])
    assert vectors.shape == (3, 32)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (encoder.dimension, encoder.window) == (32, 64)


def test_no_texts_are_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, 32)


def test_offsets_cover_every_word_of_a_text_of_any_length(encoder: Encoder) -> None:
    text = "red  bird, " * 200
    offsets = encoder.token_offsets(text)
    assert [text[start:end] for start, end in offsets[:3]] == ["red", "bird", ","]
    assert len(offsets) == 600
    assert encoder.token_offsets("") == []


def test_offsets_do_not_change_what_is_encoded(encoder: Encoder) -> None:
    long = "river " * 500
    before = encoder.encode([long])
    encoder.token_offsets(long)
    assert encoder.encode([long]) == pytest.approx(before)


def test_each_text_has_its_own_vector_when_batches_are_computed_at_once(
    encoder: Encoder, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_THREADS", "3")
    texts = [f"{'the red bird ' * (i % 17)} {i}" for i in range(100)]
    before = torch.get_num_threads()
    try:
        found = Encoder(str(tiny_encoder), device="cpu").encode(texts)
    finally:
        torch.set_num_threads(before)
    for text, vector in zip(texts, found, strict=True):
        np.testing.assert_allclose(vector, encoder.encode([text])[0], atol=1e-5)


def test_each_text_has_its_own_vector_when_texts_are_tokenized_in_parts(
    encoder: Encoder,
) -> None:
    texts = [f"{'the red bird ' * (i % 5)} {i}" for i in range(TOKENIZED_AT_ONCE + 40)]
    found = encoder.encode(texts)
    few = [0, 1, 77, len(texts) - 2, len(texts) - 1]
    np.testing.assert_allclose(found[few], encoder.encode([texts[i] for i in few]), atol=1e-5)


def test_threads_share_an_encoder(tiny_encoder: Path) -> None:
    encoder = Encoder(str(tiny_encoder), device="cpu")
    texts = ["red bird", "blue sea", "old tower"] * 10

    def work(text: str) -> tuple[int, int]:
        return encoder.encode([text]).shape[1], len(encoder.token_offsets(text))

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(work, texts)) == {(32, 2)}


def test_given_prompts_replace_those_of_the_model(prompted_encoder) -> None:
    own = str(prompted_encoder({"query": "query: ", "document": "passage: "}))
    for given, query, document in (
        ({}, "query: ", "passage: "),
        ({"query_prompt": "find: "}, "find: ", "passage: "),
        ({"query_prompt": "", "document_prompt": ""}, "", ""),
    ):
        prompts = Encoder(own, **given).prompts
        assert (prompts.query, prompts.document) == (query, document)


def test_no_prompt_is_unused_once_one_is_given(prompted_encoder) -> None:
    named = str(prompted_encoder({"search_query": "q: ", "search_document": "d: "}))
    assert Encoder(named).unused_prompts == ["search_query", "search_document"]
    assert Encoder(named, query_prompt="q: ", document_prompt="d: ").unused_prompts == []


@pytest.mark.parametrize("given", [{"query_prompt": 3}, {"document_prompt": b"passage: "}])
def test_a_prompt_that_is_not_a_string_is_refused(given: dict) -> None:
    with pytest.raises(InvalidInputError, match="prompt"):
        Encoder("tiny", **given)


def test_a_shortened_vector_is_the_beginning_of_the_whole_one_with_length_1(
    encoder: Encoder, tiny_encoder: Path
) -> None:
    texts = ["red bird", "the river and the sea", ""]
    short = Encoder(tiny_encoder, device="cpu", truncate_dim=8)
    first = encoder.encode(texts)[:, :8]
    expected = first / np.linalg.norm(first, axis=1, keepdims=True)
    np.testing.assert_allclose(short.encode(texts), expected, atol=1e-6)
    assert short.dimension == 8
    assert short.encode([]).shape == (0, 8)


def test_a_shortened_vector_is_that_of_sentence_transformers(
    prompted_encoder, tiny_encoder: Path
) -> None:
    texts = ["red bird", "the river and the sea"]
    for folder in (tiny_encoder, prompted_encoder({"query": "query: "})):
        theirs = SentenceTransformer(str(folder), device="cpu", truncate_dim=8)
        ours = Encoder(folder, device="cpu", truncate_dim=8)
        np.testing.assert_allclose(
            ours.encode(texts, task="query", prompt=ours.prompts.query),
            theirs.encode_query(texts, normalize_embeddings=True),
            atol=1e-5,
        )


def test_more_dimensions_than_the_model_has_are_refused(tiny_encoder: Path) -> None:
    encoder = Encoder(tiny_encoder, truncate_dim=33)
    with pytest.raises(InvalidInputError, match=r"truncate_dim=33 is more than the 32 dimensions"):
        encoder.encode(["red bird"])
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(InvalidInputError, match="truncate_dim"):
            Encoder(tiny_encoder, truncate_dim=wrong)  # type: ignore[arg-type]


def test_the_pooling_is_named(encoder: Encoder, prompted_encoder) -> None:
    assert encoder.pooling == "mean"
    assert Encoder(prompted_encoder({"query": "query: "})).pooling == "mean"


def test_what_decides_the_vectors_is_told_without_loading_the_model(tiny_encoder: Path) -> None:
    plain, *others = (
        Encoder(tiny_encoder, **given).identity()
        for given in ({}, {"query_prompt": ""}, {"query_prompt": "q: "}, {"truncate_dim": 8})
    )
    assert len(plain) == 1
    assert len({*map(tuple, others)}) == 3


def test_a_model_that_is_not_there_is_named_at_its_first_use() -> None:
    encoder = Encoder("nobody/no-such-encoder")
    with pytest.raises(ModelNotFoundError, match="nobody/no-such-encoder"):
        encoder.encode(["red bird"])


@pytest.mark.parametrize("device", ["toaster", "meta", "cuda:99"])
def test_a_device_that_cannot_be_used_is_named(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_DEVICE", device)
    with pytest.raises(InvalidInputError, match=f"{device}' cannot be used .*use cpu"):
        Encoder(str(tiny_encoder)).encode(["boat"])


def test_a_broken_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelNotFoundError, match=tmp_path.name):
        Encoder(str(tmp_path)).encode(["red bird"])


def test_a_passage_is_found_by_its_own_text(encoder: Encoder, tmp_path: Path) -> None:
    texts = ["red bird", "the river and the sea", "an old stone tower"]
    index = VectorIndex(tmp_path, encoder)
    index.update(1, [Passage(id, text) for id, text in enumerate(texts)], [])
    for id, scores in enumerate(index.search(texts, 1)):
        assert scores.ids.tolist() == [id]
        assert scores.scores.tolist() == pytest.approx([1.0], abs=1e-4)


@pytest.mark.parametrize("piece", ["!?", "river-", "中", " ", "boat "])
def test_a_text_of_any_length_has_the_vector_of_what_fills_the_window(
    encoder: Encoder, piece: str
) -> None:
    long, filled = encoder.encode([piece * 50_000, piece * 70])
    assert long == pytest.approx(filled, abs=1e-6)
    [rest] = encoder.encode([" " * 50_000 + "red bird"])
    assert rest == pytest.approx(encoder.encode(["red bird"])[0], abs=1e-6)


def test_static_embeddings_read_a_text_of_any_length(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1, "bird": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    body = StaticEmbedding(words, embedding_dim=8)
    SentenceTransformer(modules=[body, Normalize()], device="cpu").save(str(tmp_path / "static"))
    text = "red " * 5_000 + "bird " * 95_000
    long, bird = Encoder(str(tmp_path / "static")).encode([text, "bird"])
    assert long @ bird > 0.9
