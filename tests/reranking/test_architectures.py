"""Scores of every kind of reranker against sentence-transformers, as eval/benchmarks has them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from rerank_search import Cascade, CrossEncoder, CrossEncoderReranker, InvalidInputError
from rerank_search.testing import check_reranker
from tests.conftest import made_by_benchmarks

SAME = 1e-5

QUERY = "where is the boat?"
TEXTS = ["The boat is in the harbour.", "bread", "", "Snow and storms: " * 40]
PAIRS = [(QUERY, text) for text in TEXTS]
TOLD = "Find claims that the text supports"


@pytest.mark.parametrize("kind", made_by_benchmarks("tiny_rerankers").RERANKERS)
def test_scores_are_those_of_sentence_transformers(
    architectures: ModuleType, any_reranker: Callable[[str], Path], kind: str
) -> None:
    found = architectures.differences(any_reranker(kind))
    assert architectures.same(found), found


@pytest.mark.parametrize("kind", made_by_benchmarks("tiny_encoders").LATE_ENCODERS)
def test_scores_of_token_vectors_are_those_of_sentence_transformers(
    architectures: ModuleType, tmp_path: Path, kind: str
) -> None:
    found = architectures.late_differences(architectures.LATE_ENCODERS[kind](tmp_path))
    assert architectures.same(found), found


# Long texts


@pytest.fixture(scope="module")
def causal(causal_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(causal_reranker, device="cpu")


@pytest.fixture(scope="module")
def modular(any_reranker: Callable[[str], Path]) -> CrossEncoderReranker:
    return CrossEncoderReranker(any_reranker("ModernBERT, pooling, dense"), device="cpu")


@pytest.fixture(params=["causal", "modular"])
def reranker(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_cut_pairs_are_counted_and_fill_the_window(reranker: CrossEncoderReranker) -> None:
    report = reranker.score_with_report(PAIRS)
    assert report.truncated.tolist() == [False, False, False, True]
    assert report.tokens is not None
    assert report.tokens.max() == report.tokens[3] == reranker.max_length


def test_the_query_is_never_cut_for_a_text(causal: CrossEncoderReranker) -> None:
    """However long the text is, the end of the query counts."""
    text = "Snow and storms: " * 900
    one, other = causal.score([(f"{QUERY} {word}", text) for word in ("bread", "river")])
    assert one != other
    # Only the first characters of a text that is far too long are tokenised.
    assert causal.score([(f"{QUERY} bread", text[:3_000])]) == pytest.approx(one, abs=SAME)


def test_a_query_above_the_window_leaves_a_quarter_of_the_room(
    causal: CrossEncoderReranker,
) -> None:
    query = "where is the boat in the snow? " * 40
    one, other = causal.score_with_report([(query, text) for text in ("bread", "river")]).values
    assert one != other
    report = causal.score_with_report([(query, TEXTS[3])])
    assert report.truncated.tolist() == [True]
    assert report.tokens is not None
    assert report.tokens[0] <= causal.max_length


def test_the_best_window_of_a_long_text_counts(reranker: CrossEncoderReranker) -> None:
    text = "Snow and storms: " * 20 + TEXTS[0] + " bread and rain." * 20
    report = reranker.score_with_report([(QUERY, text), PAIRS[1]], long_documents="max_passage")
    assert report.spans[1] is None
    assert report.spans[0] is not None
    start, end = report.spans[0]
    assert not report.truncated.any()
    again = reranker.score_with_report([(QUERY, text[start:end])])
    assert not again.truncated.any()
    np.testing.assert_allclose(again.values, report.values[:1], atol=1e-4)


def test_a_window_that_the_template_fills_is_refused(causal_reranker: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"max_length=40 is too small .* its chat template"):
        CrossEncoderReranker(causal_reranker, device="cpu", max_length=40)


def test_an_instruction_that_fills_the_window_is_refused(causal: CrossEncoderReranker) -> None:
    with pytest.raises(InvalidInputError, match="with this instruction leaves 0 tokens"):
        causal.score(PAIRS, instruction="Find texts that answer the question. " * 20)


def test_a_prompt_that_fills_the_window_is_refused(any_reranker: Callable[[str], Path]) -> None:
    reranker = CrossEncoderReranker(any_reranker("BERT with a prompt"), device="cpu")
    with pytest.raises(InvalidInputError, match="leaves no room for a query"):
        reranker.score(PAIRS, instruction="find texts that answer " * 20)


# Prompts and instructions


def test_the_models_own_prompt_is_read(any_reranker: Callable[[str], Path]) -> None:
    plain, prompted = (
        CrossEncoderReranker(any_reranker(kind), device="cpu")
        for kind in ("BERT", "BERT with a prompt")
    )
    with_it = [(f"find texts: {query}", text) for query, text in PAIRS]
    np.testing.assert_allclose(prompted.score(PAIRS), plain.score(with_it), atol=SAME)
    other = [(f"find claims: {query}", text) for query, text in PAIRS]
    expected = plain.score(other)
    for found in (
        prompted.score(PAIRS, instruction="find claims: "),
        prompted.predict(PAIRS, prompt_name="claims", activation_fn=torch.nn.Identity()),
        prompted.predict(PAIRS, prompt="find claims: ", activation_fn=torch.nn.Identity()),
    ):
        np.testing.assert_allclose(found, expected, atol=SAME)


def test_an_unknown_prompt_is_named(any_reranker: Callable[[str], Path]) -> None:
    reranker = CrossEncoderReranker(any_reranker("BERT with a prompt"), device="cpu")
    with pytest.raises(
        InvalidInputError, match="'unknown' not found: the model has 'claims', 'query'"
    ):
        reranker.predict(PAIRS, prompt_name="unknown")


def test_an_instruction_changes_scores_and_is_remembered_apart(causal_reranker: Path) -> None:
    reranker = CrossEncoderReranker(causal_reranker, device="cpu", cache_size=100)
    own, told = reranker.score(PAIRS), reranker.score(PAIRS, instruction=TOLD)
    assert (own != told).all()
    np.testing.assert_array_equal(reranker.score(PAIRS), own)
    np.testing.assert_array_equal(reranker.score(PAIRS, instruction=TOLD), told)


def test_windows_are_read_with_the_instruction(causal: CrossEncoderReranker) -> None:
    own, told = (
        causal.score_with_report(PAIRS, long_documents="max_passage", instruction=instruction)
        for instruction in (None, TOLD)
    )
    assert (own.values != told.values).all()


@pytest.mark.parametrize(
    ("instruction", "named"),
    [
        ("", "instruction='' is blank"),
        (" \n", r"instruction=' \\n' is blank"),
        (5, "the instruction is not a string: 5"),
        ("\ud800", "the instruction contains a lone surrogate"),
    ],
)
def test_what_is_no_instruction_is_refused(
    causal: CrossEncoderReranker, instruction: Any, named: str
) -> None:
    with pytest.raises(InvalidInputError, match=named):
        causal.score(PAIRS, instruction=instruction)


def test_a_model_without_prompts_takes_no_instruction(tiny_reranker: Path) -> None:
    reranker = CrossEncoderReranker(tiny_reranker, device="cpu")
    assert not reranker.takes_instructions
    with pytest.raises(InvalidInputError, match=r"'.*tiny-reranker.*' takes no instruction"):
        reranker.score(PAIRS, instruction=TOLD)


def test_a_cascade_gives_the_instruction_to_the_reranker_that_takes_one(
    tiny_reranker: Path, causal: CrossEncoderReranker
) -> None:
    small = CrossEncoderReranker(tiny_reranker, device="cpu")
    cascade = Cascade([small, causal], keep=[2])
    best = np.argsort(-small.score(PAIRS), kind="stable")[:2]
    found = cascade.score(PAIRS, instruction=TOLD)[best]
    expected = causal.score([PAIRS[i] for i in best], instruction=TOLD)
    np.testing.assert_allclose(found, expected, atol=SAME)
    with pytest.raises(InvalidInputError, match="takes no instruction"):
        Cascade([small, small], keep=[2]).score(PAIRS, instruction=TOLD)


# The same in every other way


def test_it_is_pickled_and_known_by_its_files(reranker: CrossEncoderReranker) -> None:
    again = pickle.loads(pickle.dumps(reranker))  # noqa: S301
    np.testing.assert_array_equal(again.score(PAIRS), reranker.score(PAIRS))
    assert again.fingerprint == reranker.fingerprint


def test_a_prompt_given_by_hand_changes_the_fingerprint(any_reranker: Any) -> None:
    name = str(any_reranker("BERT with a prompt"))
    own = CrossEncoder(name, device="cpu")
    other = CrossEncoder(name, device="cpu", default_prompt_name="claims")
    assert own.fingerprint != other.fingerprint
    assert not np.isclose(own.score(PAIRS), other.score(PAIRS)).any()


def test_a_changed_template_changes_the_fingerprint(
    causal_reranker: Path, causal: CrossEncoderReranker, tmp_path: Path
) -> None:
    import shutil

    copy = Path(shutil.copytree(causal_reranker, tmp_path / "copy"))
    [template] = copy.glob("*.jinja")
    template.write_text(template.read_text().replace("Answer yes or no", "Answer"))
    changed = CrossEncoderReranker(copy, device="cpu")
    assert changed.fingerprint != causal.fingerprint
    assert (changed.score(PAIRS) != causal.score(PAIRS)).all()


def test_only_torch_computes_models_of_several_modules(causal_reranker: Path) -> None:
    with pytest.raises(InvalidInputError, match="only torch can compute, which backend='onnx'"):
        CrossEncoderReranker(causal_reranker, device="cpu", backend="onnx")


@pytest.mark.parametrize("kind", ["ModernBERT, pooling, dense", "Qwen3 that answers yes or no"])
def test_half_precision_keeps_similar_scores_apart(
    any_reranker: Callable[[str], Path], kind: str
) -> None:
    exact, halved = (
        CrossEncoderReranker(any_reranker(kind), device="cpu", dtype=dtype)
        for dtype in ("float32", "bfloat16")
    )
    found = halved.score(PAIRS)
    assert 0 < np.abs(found - exact.score(PAIRS)).max() < 0.2
    rounded = torch.from_numpy(found).to(torch.bfloat16).float().numpy()
    assert (rounded != found).any()


def test_the_class_of_sentence_transformers_is_replaced(causal_reranker: Path) -> None:
    from sentence_transformers import CrossEncoder as Original

    ours, theirs = (kind(str(causal_reranker), device="cpu") for kind in (CrossEncoder, Original))
    expected = theirs.rank(QUERY, TEXTS, return_documents=True)
    found = ours.rank(QUERY, TEXTS, return_documents=True)
    assert [each["corpus_id"] for each in found] == [each["corpus_id"] for each in expected]
    np.testing.assert_allclose(
        [each["score"] for each in found], [each["score"] for each in expected], atol=SAME
    )
    assert type(ours.model).__name__ == "Qwen3ForCausalLM"


def test_every_kind_is_a_reranker_like_any_other(reranker: CrossEncoderReranker) -> None:
    check_reranker(reranker)


def test_calls_of_sentence_transformers_own_predict_may_come_between(
    causal_reranker: Path,
) -> None:
    """They use the same tokenizer, which threads must not use at once."""
    model = CrossEncoder(str(causal_reranker), device="cpu")
    expected = model.score(PAIRS)
    short = {"text": {"max_length": 120}}

    def call(number: int) -> Any:
        if number % 2:
            model.predict(PAIRS, processing_kwargs=short)
        return model.score(PAIRS)

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(call, range(8)):
            np.testing.assert_allclose(found, expected, atol=SAME)


def test_threads_share_one(causal: CrossEncoderReranker) -> None:
    expected = {told: causal.score(PAIRS, instruction=told) for told in (None, TOLD)}
    calls = [None, TOLD] * 6
    with ThreadPoolExecutor(4) as pool:
        results: Iterator[Any] = pool.map(lambda told: causal.score(PAIRS, instruction=told), calls)
        for told, found in zip(calls, results, strict=True):
            np.testing.assert_allclose(found, expected[told], atol=SAME)


def test_a_tokenizer_without_a_padding_token_pads_without_effect(
    tiny_rerankers: ModuleType, tmp_path: Path
) -> None:
    reranker = CrossEncoderReranker(tiny_rerankers.causal(tmp_path, pad=False), device="cpu")
    alone = [float(reranker.score([pair])[0]) for pair in PAIRS]
    np.testing.assert_allclose(reranker.score(PAIRS), alone, atol=SAME)
