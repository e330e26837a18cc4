from __future__ import annotations

import inspect
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder as Original

from rerank_search.errors import InvalidInputError, ModelNotFoundError, RerankError
from rerank_search.models.registry import fingerprint
from rerank_search.reranking.base import ReportingReranker
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.exact_logits import keep_last_layer_exact
from rerank_search.reranking.fusion import Fusion, Weights
from rerank_search.reranking.loaded_model import LoadedModel
from rerank_search.reranking.pair_logits import PAIRS_AT_ONCE

QUERY = "how to join the paths"
TEXTS = [
    "join file paths with a path",
    "",
    "the bread is in the oven",
    "a boat on the river by the old bridge and the tower",
    "read the lines of a text file",
    "zzqx? 42!",
]
PAIRS = [(QUERY, text) for text in TEXTS]
LONG = "bread and cheese from the kitchen oven in the winter snow " * 12


@pytest.fixture(scope="module")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker, device="cpu")


@pytest.fixture(scope="module")
def original(tiny_reranker: Path) -> Original:
    return Original(str(tiny_reranker), device="cpu")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation_fn": torch.nn.Identity()},
        {"convert_to_tensor": True},
        {"convert_to_numpy": False},
        {"batch_size": 2, "show_progress_bar": False},
        {"apply_softmax": True},
        {"prompt": "find: "},
    ],
)
@pytest.mark.parametrize("inputs", [PAIRS, [list(pair) for pair in PAIRS], PAIRS[0], []])
def test_predict_returns_what_sentence_transformers_returns(reranker, original, inputs, options):
    ours, theirs = reranker.predict(inputs, **options), original.predict(inputs, **options)

    assert type(ours) is type(theirs)
    if isinstance(theirs, list):
        assert [type(score) for score in ours] == [type(score) for score in theirs]
        ours, theirs = torch.tensor(ours), torch.tensor(theirs)
    else:
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_predict_and_rank_have_the_signatures_of_sentence_transformers():
    for method in ("predict", "rank"):
        ours = inspect.signature(getattr(CrossEncoderReranker, method)).parameters
        theirs = inspect.signature(getattr(Original, method)).parameters
        assert list(ours) == list(theirs)
        assert {name: p.default for name, p in ours.items()} == {
            name: p.default for name, p in theirs.items()
        }


@pytest.mark.parametrize("options", [{}, {"top_k": 2, "return_documents": True}])
def test_rank_returns_what_sentence_transformers_returns(reranker, original, options):
    ours, theirs = reranker.rank(QUERY, TEXTS, **options), original.rank(QUERY, TEXTS, **options)

    assert [{**hit, "score": None} for hit in ours] == [{**hit, "score": None} for hit in theirs]
    assert [type(hit["score"]) for hit in ours] == [float] * len(theirs)
    np.testing.assert_allclose(
        [hit["score"] for hit in ours], [hit["score"] for hit in theirs], atol=1e-5
    )


def test_rank_of_no_documents_is_empty(reranker):
    assert reranker.rank(QUERY, []) == []


def test_rank_orders_saturated_scores_by_their_logits(reranker):
    logits = reranker.score(PAIRS)
    ranking = reranker.rank(QUERY, TEXTS, activation_fn=lambda x: torch.sigmoid(x * 1000))
    saturated = [hit["corpus_id"] for hit in ranking if hit["score"] == 1.0]

    assert len(saturated) > 1
    assert saturated == sorted(saturated, key=lambda i: -logits[i])


def test_the_usage_block_of_a_model_card_runs_with_only_the_import_changed(tiny_reranker):
    from rerank_search import CrossEncoder

    model = CrossEncoder(str(tiny_reranker))
    pairs = [
        ["where is the boat", "The boat is in the harbour."],
        ["where is the boat", "Bread comes from the oven."],
        ["where is the boat", "A river runs to the sea."],
    ]
    scores = model.predict(pairs)
    assert scores.shape == (3,)
    ranks = model.rank(
        "where is the boat", ["The boat is in the harbour.", "Bread is in the oven."]
    )
    assert sorted(hit["corpus_id"] for hit in ranks) == [0, 1]
    assert set(ranks[0]) == {"corpus_id", "score"}


def test_score_returns_raw_logits_in_float32(reranker, original):
    scores = reranker.score(PAIRS)

    assert scores.dtype == np.float32
    expected = original.predict(PAIRS, activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert reranker.score([]).shape == (0,)


def test_scores_do_not_depend_on_order_batches_or_repetition(reranker, tiny_reranker):
    one_by_one = CrossEncoderReranker(tiny_reranker, device="cpu", batch_tokens=1)
    order = [3, 0, 5, 0, 2, 1, 4, 3]
    scores = reranker.score([PAIRS[i] for i in order])

    np.testing.assert_allclose(scores, one_by_one.score(PAIRS)[order], atol=1e-5)
    assert scores[1] == scores[3]
    assert scores[0] == scores[7]


def test_only_the_text_is_cut_and_cuts_are_counted_exactly(reranker):
    room = reranker.max_length - 3 - 5
    fits, above = "word " * room, "word " * (room + 1)
    report = reranker.score_with_report([(QUERY, fits), (QUERY, above), (QUERY, "boat")])

    assert report.truncated.tolist() == [False, True, False]
    assert report.values[0] == pytest.approx(report.values[1], abs=1e-5)
    assert list(report.spans) == [None] * 3


def test_a_query_above_the_window_leaves_a_quarter_for_the_text(reranker):
    query = "river " * 200
    report = reranker.score_with_report([(query, "boat"), (query, LONG), (query, "sea " * 200)])

    assert report.truncated.all()
    assert len(set(report.values.tolist())) == 3


@pytest.mark.slow
def test_a_text_of_megabytes_is_scored_by_its_beginning(reranker):
    huge = LONG * 10_000
    report = reranker.score_with_report([(QUERY, huge), (QUERY, LONG), (QUERY, " " * 5_000_000)])

    assert report.truncated.tolist() == [True, True, False]
    assert report.values[0] == pytest.approx(report.values[1], abs=1e-5)
    assert report.values[2] == pytest.approx(reranker.score([(QUERY, "")])[0], abs=1e-5)


def test_max_passage_scores_the_best_window_and_says_where_it_is(reranker):
    report = reranker.score_with_report(
        [(QUERY, LONG), (QUERY, TEXTS[0])], long_documents="max_passage"
    )
    start, end = report.spans[0]

    assert not report.truncated.any()
    assert report.spans[1] is None
    assert report.values[0] == pytest.approx(
        reranker.score([(QUERY, LONG[start:end])])[0], abs=1e-5
    )
    assert report.values[0] >= reranker.score([(QUERY, LONG)])[0] - 1e-5


def test_an_unknown_way_with_long_documents_is_refused(reranker):
    with pytest.raises(InvalidInputError, match="max_passage"):
        reranker.score_with_report(PAIRS, long_documents="skip")


@pytest.mark.parametrize(
    "pair", [("one",), ("a", "b", "c"), ("a", None), ("a", "bad \ud800"), ("bad \udfff", "b")]
)
def test_anything_but_two_encodable_strings_is_refused(reranker, pair):
    with pytest.raises(InvalidInputError, match="pair 1"):
        reranker.score([("a", "b"), pair])


def test_threads_share_one_reranker(reranker):
    expected = reranker.score(PAIRS)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: reranker.score(PAIRS), range(40)))
    for scores in results:
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_max_length_lowers_the_window_and_never_raises_it(tiny_reranker, caplog):
    short = CrossEncoderReranker(tiny_reranker, device="cpu", max_length=16)
    assert short.max_length == 16
    assert "max_length" not in caplog.text
    assert short.score_with_report([(QUERY, TEXTS[3])]).truncated.all()
    assert CrossEncoderReranker(tiny_reranker, device="cpu", max_length=4096).max_length == 64
    assert f"max_length=4096 is more than '{tiny_reranker}' can read: 64 is used" in caplog.text
    with pytest.raises(InvalidInputError, match="max_length=4"):
        CrossEncoderReranker(tiny_reranker, device="cpu", max_length=4)


@pytest.mark.parametrize("given", [0, -1, 100.5, float("nan"), float("inf"), "512", [5], True])
@pytest.mark.parametrize("name", ["max_length", "batch_tokens"])
def test_lengths_that_are_no_whole_numbers_are_refused(tiny_reranker, name, given):
    with pytest.raises(
        InvalidInputError, match=rf"^{name}=.* (is not a whole number|must be at least 1)"
    ):
        CrossEncoderReranker(tiny_reranker, device="cpu", **{name: given})


def _changed(tiny_reranker: Path, directory: Path, change) -> Path:
    shutil.copytree(tiny_reranker, directory)
    weights = {
        name: change(name, w) for name, w in load_file(directory / "model.safetensors").items()
    }
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def test_weights_stored_in_half_precision_are_computed_in_float32(
    tiny_reranker, tmp_path, reranker
):
    directory = _changed(tiny_reranker, tmp_path / "half", lambda name, w: w.half())
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    half = CrossEncoderReranker(directory, device="cpu")

    assert half.score(PAIRS).dtype == np.float32
    np.testing.assert_allclose(half.score(PAIRS), reranker.score(PAIRS), atol=0.1)


def test_nan_from_the_model_is_an_error(tiny_reranker, tmp_path):
    directory = _changed(
        tiny_reranker,
        tmp_path / "nan",
        lambda name, w: w * float("nan") if name == "classifier.bias" else w,
    )
    named = rf"NaN or infinite scores, first for \('{PAIRS[0][0]}', "
    damaged = CrossEncoderReranker(directory, device="cpu")
    with pytest.raises(RerankError, match=named):
        damaged.score(PAIRS)
    with pytest.raises(RerankError, match=named):
        damaged.score_with_report(PAIRS, long_documents="max_passage")


def test_a_classifier_predicts_but_does_not_rank(tiny_reranker, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    directory = tmp_path / "classifier"
    AutoModelForSequenceClassification.from_pretrained(
        tiny_reranker, num_labels=3, ignore_mismatched_sizes=True
    ).save_pretrained(directory)
    AutoTokenizer.from_pretrained(tiny_reranker).save_pretrained(directory)
    classifier = CrossEncoderReranker(directory, device="cpu")

    expected = Original(str(directory), device="cpu").predict(PAIRS, apply_softmax=True)
    np.testing.assert_allclose(classifier.predict(PAIRS, apply_softmax=True), expected, atol=1e-5)
    for call in (lambda: classifier.rank(QUERY, TEXTS), lambda: classifier.score(PAIRS)):
        with pytest.raises(InvalidInputError, match="3"):
            call()


def test_damaged_weights_are_a_typed_error(tiny_reranker, tmp_path):
    directory = tmp_path / "damaged"
    shutil.copytree(tiny_reranker, directory)
    (directory / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ModelNotFoundError, match="damaged"):
        CrossEncoderReranker(directory)


@pytest.mark.parametrize("device", ["toaster", "meta", "cuda:99"])
def test_devices_that_cannot_be_used_are_a_typed_error(tiny_reranker, device):
    with pytest.raises(InvalidInputError, match=f"{device}' cannot be used .*use cpu"):
        CrossEncoderReranker(tiny_reranker, device=device)


def test_the_fusion_beside_the_weights_is_found(tiny_reranker, tmp_path, reranker):
    directory = tmp_path / "fused"
    shutil.copytree(tiny_reranker, directory)
    Fusion([Weights(-1.0, {"rerank": 0.5})]).save(directory)

    assert reranker.fusion is None
    assert CrossEncoderReranker(directory, device="cpu").fusion.signals == {"rerank"}


def test_it_is_a_reporting_reranker(reranker):
    assert isinstance(reranker, ReportingReranker)


def test_a_bi_encoder_is_refused_instead_of_given_a_random_last_layer(tiny_encoder: Path):
    with pytest.raises(InvalidInputError, match="BertModel"):
        CrossEncoderReranker(tiny_encoder, device="cpu")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_gives_nearly_the_same_logits_in_float32(tiny_reranker, reranker, dtype):
    halved = CrossEncoderReranker(tiny_reranker, device="cpu", dtype=dtype)
    ours, exact = halved.score(PAIRS), reranker.score(PAIRS)
    assert ours.dtype == np.float32
    assert 0 < np.abs(ours - exact).max() < 0.2
    # The sum over the last layer's features is not rounded, so close logits stay apart.
    rounded = torch.from_numpy(ours).to(getattr(torch, dtype)).float().numpy()
    assert (rounded != ours).all()
    assert np.abs(halved.predict(PAIRS) - reranker.predict(PAIRS)).max() < 0.05
    prompted = halved.predict(PAIRS, prompt="find: ", activation_fn=torch.nn.Identity())
    assert not np.array_equal(
        prompted, reranker.predict(PAIRS, prompt="find: ", activation_fn=torch.nn.Identity())
    )


def test_half_precision_is_refused_where_no_linear_layer_ends_in_the_logits():
    head = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Conv1d(8, 1, 1))
    with pytest.raises(
        InvalidInputError, match=r"linear layer, which 'odd' does not: use dtype='float32'"
    ):
        keep_last_layer_exact("odd", head, 1)


def test_an_unknown_dtype_is_refused(tiny_reranker):
    with pytest.raises(
        InvalidInputError, match="dtype='int4' is unknown: use one of auto, float32"
    ):
        CrossEncoderReranker(tiny_reranker, dtype="int4")


def test_activated_logits_are_what_predict_returns(reranker):
    logits = reranker.score(PAIRS)
    np.testing.assert_array_equal(reranker.activated(logits), reranker.predict(PAIRS))
    assert reranker.activated(logits[:0]).shape == (0,)


def test_the_fingerprint_says_what_the_logits_follow_from(tiny_reranker, tmp_path, reranker):
    moved = tmp_path / "moved"
    shutil.copytree(tiny_reranker, moved)
    Fusion([Weights(0.0, {"rerank": 1.0})]).save(moved)
    (moved / "calibration.json").write_text("{}")
    (moved / "README.md").write_text("a card")
    assert fingerprint(moved) == fingerprint(Path(tiny_reranker))
    (moved / "calibration.json").unlink()
    same = CrossEncoderReranker(moved, device="cpu")
    assert same.fingerprint == reranker.fingerprint
    shorter = CrossEncoderReranker(moved, device="cpu", max_length=32)
    halved = CrossEncoderReranker(moved, device="cpu", dtype="bfloat16")
    weights = load_file(moved / "model.safetensors")
    weights["classifier.bias"] += 1
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    other = CrossEncoderReranker(moved, device="cpu")
    every = [same, shorter, halved, other]
    assert len({each.fingerprint for each in every}) == len(every)


def test_remembered_scores_are_the_computed_ones(reranker, tiny_reranker):
    remembering = CrossEncoderReranker(tiny_reranker, device="cpu", cache_size=3)
    expected = reranker.score_with_report(PAIRS)
    for _ in range(2):
        found = remembering.score_with_report(PAIRS)
        np.testing.assert_allclose(found.values, expected.values, atol=1e-4)
        np.testing.assert_array_equal(found.truncated, expected.truncated)
    np.testing.assert_allclose(remembering.score(PAIRS[::-1]), expected.values[::-1], atol=1e-4)
    assert remembering.score([]).shape == (0,)


def test_a_remembered_score_is_not_computed_again(tiny_reranker, when_called):
    remembering = CrossEncoderReranker(tiny_reranker, device="cpu", cache_size=10)
    first = remembering.score(PAIRS)
    computed: list[int] = []
    logits = LoadedModel.logits
    with when_called(logits, lambda given: computed.append(len(given["encoded"]))):
        np.testing.assert_array_equal(remembering.score(PAIRS), first)
        remembering.score([("never", "seen"), PAIRS[0]])
    assert sum(computed) == 1


def test_a_negative_number_of_scores_cannot_be_remembered(tiny_reranker):
    with pytest.raises(InvalidInputError, match="cache_size=-1 must be at least 0"):
        CrossEncoderReranker(tiny_reranker, device="cpu", cache_size=-1)


def test_a_model_without_a_tokenizer_is_refused(tiny_reranker, tmp_path):
    directory = tmp_path / "bare"
    directory.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_reranker / name, directory / name)
    with pytest.raises(ModelNotFoundError, match=r"has no tokenizer: put its tokenizer\.json"):
        CrossEncoderReranker(directory, device="cpu")


def test_no_pairs_have_no_scores_in_any_way(reranker):
    for way in ("truncate", "max_passage"):
        assert reranker.score_with_report([], long_documents=way).values.shape == (0,)


@pytest.mark.parametrize("pair", [{"query": "x", "text": "y"}, "ab", {"a", "b"}, 1])
def test_what_is_no_pair_is_refused(reranker, pair):
    with pytest.raises(InvalidInputError, match=r"pair 0 is .*: give a query and a text"):
        reranker.score([pair])


def test_a_batch_of_no_pairs_is_refused(reranker):
    with pytest.raises(InvalidInputError, match="batch_size=0"):
        reranker.predict(PAIRS, batch_size=0)


def test_many_pairs_are_tokenised_in_parts_and_keep_their_order(reranker):
    pairs = [
        (f"{QUERY} {i % 7}", f"{TEXTS[i % len(TEXTS)]} {i}") for i in range(PAIRS_AT_ONCE + 90)
    ]
    values = reranker.score(pairs)
    for place in (0, 1, PAIRS_AT_ONCE - 1, PAIRS_AT_ONCE, len(pairs) - 1):
        np.testing.assert_allclose(values[place], reranker.score([pairs[place]])[0], atol=1e-5)
