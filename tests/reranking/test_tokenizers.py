"""Rerankers with tokenizers or networks that are not a BERT's."""

from __future__ import annotations

import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder as Original
from transformers import AutoTokenizer

from rerank_search import CrossEncoder, CrossEncoderReranker, InvalidInputError
from rerank_search.models.registry import fingerprint

IDENTITY = torch.nn.Identity()
QUERY = "where is the boat"
TEXTS = [
    "the boat is in the harbour",
    "bread",
    "a river runs to the sea and the boat is in the snow",
    "the snow and the storm " * 20,
    "",
]
PAIRS = [(QUERY, text) for text in TEXTS]


def one_by_one(directory, pairs=PAIRS, **options):
    """The logits of sentence-transformers, one pair at a time."""
    original = Original(str(directory), device="cpu", **options)
    if original.tokenizer.pad_token is None:  # it refuses even one pair, which needs no padding
        original.tokenizer.pad_token = original.tokenizer.eos_token
    return original.predict(pairs, batch_size=1, activation_fn=IDENTITY)


# Tokenizers written in Python


@pytest.fixture(scope="module")
def ours_and_theirs(slow_reranker):
    """A reranker whose tokenizer is written in Python, loaded by both libraries."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "emoji is not installed")
        ours = CrossEncoder(slow_reranker, device="cpu")
        return ours, Original(str(slow_reranker), device="cpu")


@pytest.mark.slow
def test_a_tokenizer_written_in_python_scores_as_in_sentence_transformers(ours_and_theirs):
    reranker, original = ours_and_theirs
    expected = original.predict(PAIRS, batch_size=1, activation_fn=IDENTITY)
    np.testing.assert_allclose(reranker.score(PAIRS), expected, atol=1e-4)
    predicted = reranker.predict(PAIRS, activation_fn=IDENTITY)
    np.testing.assert_allclose(predicted, expected, atol=1e-4)
    assert reranker.score_with_report(PAIRS).truncated.tolist()[1::2] == [False, True]


@pytest.mark.slow
def test_a_tokenizer_written_in_python_cuts_long_queries_as_in_sentence_transformers(
    ours_and_theirs,
):
    pairs = [(f"{QUERY} " * n, "the boat " * n) for n in (5, 9, 30)]
    ours, theirs = ours_and_theirs
    expected = theirs.predict(pairs, batch_size=1, activation_fn=IDENTITY)
    np.testing.assert_allclose(ours.predict(pairs, activation_fn=IDENTITY), expected, atol=1e-4)


@pytest.mark.slow
def test_threads_share_a_tokenizer_written_in_python(ours_and_theirs):
    reranker, _ = ours_and_theirs
    expected = reranker.score(PAIRS)
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(lambda _: reranker.score(PAIRS), range(8)):
            np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.slow
def test_windows_need_a_tokenizer_that_knows_where_tokens_stand(ours_and_theirs):
    reranker, _ = ours_and_theirs
    with pytest.raises(InvalidInputError, match="does not give: use long_documents='truncate'"):
        reranker.score_with_report(PAIRS, long_documents="max_passage")


def test_files_that_only_such_tokenizers_have_are_part_of_a_model(slow_reranker, tmp_path):
    if not (slow_reranker / "bpe.codes").is_file():
        pytest.skip("this one has none")
    changed = tmp_path / "changed"
    shutil.copytree(slow_reranker, changed)
    (changed / "bpe.codes").write_text("#version: 0.2\na b 3\n")
    assert fingerprint(changed) != fingerprint(slow_reranker)


# Decoders


@pytest.mark.parametrize("kind", ["Qwen2", "Llama", "GPT2"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_decoder_without_a_pad_token_is_scored_pair_by_pair(make_decoder, kind, side):
    directory = make_decoder(kind, tokenizer={"padding_side": side})
    reranker = CrossEncoder(directory, device="cpu")
    expected = one_by_one(directory, PAIRS)
    np.testing.assert_allclose(reranker.score(PAIRS), expected, atol=1e-4)
    predicted = reranker.predict(PAIRS, activation_fn=IDENTITY, batch_size=4)
    np.testing.assert_allclose(predicted, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("tokenizer", "options"),
    [
        ({}, {"pad_token_id": 2}),  # in the configuration, not in the tokenizer
        ({"pad_token": "<pad>"}, {}),  # the other way round
        ({"pad_token": "</s>"}, {"pad_token_id": 2}),  # another one in each
        ({"pad_token": "<pad>", "padding_side": "left"}, {"pad_token_id": 2}),
        ({}, {"pad_token_id": -1}),  # not a token at all
    ],
)
@pytest.mark.parametrize("kind", ["Qwen2", "GPT2"])
def test_padding_never_changes_a_decoders_scores(make_decoder, kind, tokenizer, options):
    directory = make_decoder(kind, tokenizer=tokenizer, **options)
    reranker = CrossEncoderReranker(directory, device="cpu")
    np.testing.assert_allclose(reranker.score(PAIRS), one_by_one(directory), atol=1e-4)


def test_a_decoder_with_two_labels_predicts_as_in_sentence_transformers(make_decoder):
    directory = make_decoder(num_labels=2)
    predicted = CrossEncoder(directory, device="cpu").predict(PAIRS, apply_softmax=True)
    theirs = Original(str(directory), device="cpu")
    expected = theirs.predict(PAIRS, batch_size=1, apply_softmax=True)
    assert predicted.shape == (len(PAIRS), 2)
    np.testing.assert_allclose(predicted, expected, atol=1e-4)


def test_a_model_that_reads_pair_by_pair_is_computed_by_torch(make_decoder, monkeypatch, caplog):
    directory = make_decoder()
    monkeypatch.setenv("RERANK_SEARCH_BACKEND", "auto")
    monkeypatch.setenv("RERANK_SEARCH_DTYPE", "auto")
    reranker = CrossEncoderReranker(directory, device="cpu")
    assert (reranker.backend, reranker.dtype) == ("torch", "float32")
    assert not caplog.records
    with pytest.raises(InvalidInputError, match="one pair at a time, which backend='onnx'"):
        CrossEncoderReranker(directory, device="cpu", backend="onnx")


def _saved(folder, tokenizer, kind, **options):
    import transformers

    from tests.reranking.conftest import save

    config = getattr(transformers, f"{kind}Config")(num_labels=1, **options)
    return save(folder, tokenizer, f"{kind}ForSequenceClassification", config)


def test_a_model_that_reads_its_last_position_is_not_padded(tmp_path):
    from tests.reranking.conftest import VOCABULARY, word_tokenizer

    tokenizer = word_tokenizer(pad_token="<pad>", padding_side="left", model_max_length=40)
    sizes = {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48}
    directory = _saved(tmp_path, tokenizer, "XLNet", pad_token_id=2, **sizes)
    reranker = CrossEncoderReranker(directory, device="cpu")
    np.testing.assert_allclose(reranker.score(PAIRS), one_by_one(directory), atol=1e-4)


def test_a_model_that_knows_no_mask_is_not_padded(tmp_path):
    from tests.reranking.conftest import VOCABULARY, word_tokenizer

    tokenizer = word_tokenizer(pad_token="<pad>", model_max_length=40)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48}
    directory = _saved(tmp_path, tokenizer, "FNet", vocab_size=VOCABULARY, pad_token_id=2, **sizes)
    reranker = CrossEncoderReranker(directory, device="cpu")
    np.testing.assert_allclose(reranker.score(PAIRS), one_by_one(directory), atol=1e-4)


def test_token_types_are_left_out_where_the_network_takes_none(tmp_path):
    from tests.reranking.conftest import VOCABULARY, word_tokenizer

    tokenizer = word_tokenizer(pad_token="<pad>", model_max_length=40)
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    sizes = {"vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}
    directory = _saved(tmp_path, tokenizer, "DistilBert", pad_token_id=2, **sizes)
    reranker = CrossEncoderReranker(directory, device="cpu")
    np.testing.assert_allclose(reranker.score(PAIRS), one_by_one(directory), atol=1e-4)


# Truncation


def _with_tokenizer(tiny_reranker, folder, **options):
    shutil.copytree(tiny_reranker, folder)
    AutoTokenizer.from_pretrained(tiny_reranker, **options).save_pretrained(folder)
    return folder


LONG = "the boat is in the harbour bread comes from the oven a river runs to the sea " * 9


@pytest.fixture(scope="module")
def cutting_left(tiny_reranker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("left") / "model"
    return _with_tokenizer(tiny_reranker, folder, truncation_side="left", padding_side="left")


def test_a_tokenizer_that_cuts_on_the_left_keeps_the_end_of_a_text(cutting_left, tiny_reranker):
    pairs = [(QUERY, LONG), (QUERY, f"{LONG} the snow"), (QUERY, "bread"), (QUERY, "")]
    reranker = CrossEncoderReranker(cutting_left, device="cpu")
    report = reranker.score_with_report(pairs)
    np.testing.assert_allclose(report.values, one_by_one(cutting_left, pairs), atol=1e-5)
    assert report.truncated.tolist() == [True, True, False, False]
    right = CrossEncoderReranker(tiny_reranker, device="cpu").score(pairs)
    assert not np.isclose(report.values[0], right[0], atol=1e-4)
    np.testing.assert_array_equal(reranker.score(pairs), report.values)  # with what it remembers


def test_the_side_may_be_an_argument(tiny_reranker):
    pairs = [(QUERY, LONG)]
    options = {"processor_kwargs": {"truncation_side": "left"}}
    reranker = CrossEncoder(str(tiny_reranker), device="cpu", **options)
    expected = one_by_one(tiny_reranker, pairs, processor_kwargs={"truncation_side": "left"})
    np.testing.assert_allclose(reranker.score(pairs), expected, atol=1e-5)


def test_windows_cover_the_whole_text_whatever_side_is_cut(cutting_left):
    reranker = CrossEncoderReranker(cutting_left, device="cpu")
    report = reranker.score_with_report([(QUERY, LONG)], long_documents="max_passage")
    start, end = report.spans[0]
    assert not report.truncated.any()
    np.testing.assert_allclose(report.values, reranker.score([(QUERY, LONG[start:end])]), atol=1e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_predict_and_rank_cut_long_queries_as_in_sentence_transformers(
    tiny_reranker, tmp_path, side
):
    directory = _with_tokenizer(tiny_reranker, tmp_path / "model", truncation_side=side)
    model, original = (kind(str(directory), device="cpu") for kind in (CrossEncoder, Original))
    for query in (f"{QUERY} {LONG}", LONG[:150]):
        ours, theirs = (
            # If a sigmoid makes scores equal, their order differs from the original's.
            each.rank(query, [LONG, *TEXTS], activation_fn=IDENTITY)
            for each in (model, original)
        )
        assert [hit["corpus_id"] for hit in ours] == [hit["corpus_id"] for hit in theirs]
        np.testing.assert_allclose(
            [hit["score"] for hit in ours], [hit["score"] for hit in theirs], atol=1e-4
        )


@pytest.mark.parametrize("length", [None, 10**30, 1_000_000])
def test_a_window_that_the_tokenizer_does_not_know_is_the_networks(tiny_reranker, tmp_path, length):
    directory = _with_tokenizer(tiny_reranker, tmp_path / "model", model_max_length=length)
    reranker = CrossEncoderReranker(directory, device="cpu")
    assert reranker.max_length == 64
    np.testing.assert_allclose(
        reranker.score([(QUERY, LONG)]), one_by_one(directory, [(QUERY, LONG)]), atol=1e-5
    )
