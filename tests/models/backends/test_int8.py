"""The model in int8: close enough to float32, or refused."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForSequenceClassification

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.measures import Scorer
from rerank_search.models.backends import imports
from rerank_search.models.backends.int8 import GROUP, grouped, largest
from rerank_search.reranking import int8_gate as gate
from rerank_search.reranking.cross_encoder import CrossEncoderReranker

needs_openvino = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "openvino"))), reason="needs the extra openvino"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class ByLength:
    """Ranks long texts first, or last."""

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign
        self.calls = 0

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.calls += 1
        return np.array([self.sign * len(text) for _, text in pairs], dtype=np.float32)


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.sampled_from([GROUP, 2 * GROUP])),
        elements=st.floats(-100, 100, width=32),
    )
)
def test_weights_are_kept_to_half_a_step(weight):
    rounded, scales = grouped(weight)
    assert rounded.shape == (len(weight), weight.shape[1] // GROUP, GROUP)
    kept = (rounded * scales).reshape(weight.shape)
    step = np.repeat(scales[:, :, 0], GROUP, axis=1)
    assert (np.abs(kept - weight) <= step * 0.501 + 1e-6).all()


@needs_openvino
@pytest.mark.parametrize("place", [0, 4, 8])
def test_the_largest_value_of_any_example_counts(place):
    openvino = imports.openvino()
    Model, opset13 = openvino.Model, openvino.opset13

    inputs = opset13.parameter([-1, GROUP], np.float32, name="x")
    weight = np.random.default_rng(0).normal(size=(5, GROUP)).astype(np.float32)
    product = opset13.matmul(inputs, opset13.constant(weight), False, True)
    values = np.full((9, GROUP), 0.5, dtype=np.float32)
    values[place, 3] = -7
    [found] = largest(Model([product], [inputs]), [product], {"x": values})
    expected = np.full(GROUP, 0.5)
    expected[3] = 7
    np.testing.assert_array_equal(found, expected)


@needs_openvino
@pytest.mark.slow
def test_a_bundled_reranker_passes_and_is_compared_once(cache):
    # The larger one takes ten times as long. `make bench-rerank` fails if it does not pass.
    model = "rerank-search-tiny"
    reranker = CrossEncoderReranker(model, backend="auto", dtype="int8", max_length=64)
    assert (reranker.backend, reranker.dtype) == ("openvino", "int8")
    pairs = [("how to join the paths", text) for text in ("join file paths", "the river " * 9, "")]
    exact = CrossEncoderReranker(model, backend="torch", dtype="float32", max_length=64)
    found, expected = reranker.score(pairs), exact.score(pairs)
    np.testing.assert_allclose(found, expected, atol=0.3)
    assert not np.array_equal(found, expected)
    assert reranker.fingerprint != exact.fingerprint
    [path] = (cache / "gates").glob("*.json")
    figures = gate.Figures(**json.loads(path.read_text()))
    assert figures.passed
    assert figures.tau < 1
    # The stored figures decide from now on.
    path.write_text(json.dumps({"tau": 0.5, "exact": 0.7, "rounded": 0.7}))
    with pytest.raises(InvalidInputError, match=r"too much: Kendall's tau 0\.500"):
        CrossEncoderReranker(model, backend="auto", dtype="int8", max_length=64)


@pytest.mark.slow
@needs_openvino
def test_a_model_that_int8_spoils_is_refused_with_the_figures(tiny_reranker, tmp_path):
    # Many layers of large random weights amplify small rounding errors.
    directory = Path(shutil.copytree(tiny_reranker, tmp_path / "wild"))
    config = AutoConfig.from_pretrained(directory, num_hidden_layers=6, initializer_range=1.0)
    torch.manual_seed(5)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(directory)
    with pytest.raises(InvalidInputError, match=r"int8 changes the rankings of .* tau") as caught:
        CrossEncoderReranker(directory, backend="openvino", dtype="int8")
    assert "nDCG@10" in str(caught.value)
    assert "Use dtype='float32'" in str(caught.value)


def test_the_same_rankings_pass_and_others_do_not(tmp_path):
    exact = ByLength()
    gate.check("a", ByLength(), lambda: exact, "one", tmp_path)
    gate.check("a", ByLength(), lambda: exact, "one", tmp_path)
    assert exact.calls == 1
    with pytest.raises(InvalidInputError, match=r"Kendall's tau -\d"):
        gate.check("a", ByLength(-1), lambda: exact, "other", tmp_path)


@pytest.mark.parametrize(
    ("tau", "rounded", "passed"),
    [(0.98, 0.5, True), (0.979, 0.5, False), (0.99, 0.4951, True), (0.99, 0.494, False)],
)
def test_what_passes(tau, rounded, passed):
    assert gate.Figures(tau, 0.5, rounded).passed is passed


def test_equal_scores_of_all_texts_are_the_same_ranking_only_in_both():
    assert gate.compare(ByLength(0), ByLength(0)).tau == 1
    assert gate.compare(ByLength(0), ByLength()).tau == 0


def test_ndcg_is_that_of_the_evaluation():
    questions = gate.questions()
    pairs = [(query, text) for query, texts in questions for text, _ in texts]
    rankings, judged, scores = {}, {}, ByLength().score(pairs).tolist()
    left = iter(scores)
    for query, texts in questions:
        own = [next(left) for _ in texts]
        order = np.argsort(-np.array(own), kind="stable")
        rankings[query] = [str(i) for i in order]
        judged[query] = {str(i): grade for i, (_, grade) in enumerate(texts)}
    found = Scorer(judged, ["nDCG@10"], relevant_from=1).score(rankings)
    expected = np.mean([each["nDCG@10"] for each in found.values()])
    assert gate.compare(ByLength(), ByLength()).exact == pytest.approx(expected)


def test_without_docstrings_it_says_so():
    code = (
        "from rerank_search.reranking import int8_gate as gate\n"
        "try: gate.questions()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("InvalidInputError int8 is fitted and checked on docstrings")


@pytest.mark.parametrize("options", [{"backend": "torch"}, {"backend": "onnx"}])
def test_what_cannot_compute_in_it_says_so(options, tiny_reranker):
    with pytest.raises(InvalidInputError, match="int8"):
        CrossEncoderReranker(tiny_reranker, dtype="int8", device="cpu", **options)


@needs_openvino
def test_it_is_never_taken_by_itself(tiny_reranker, cache):
    CrossEncoderReranker(tiny_reranker, backend="auto", dtype="auto", device="cpu")
    [path] = (cache / "backends").glob("*.json")
    speeds = json.loads(path.read_text())
    assert "openvino int8" not in speeds
    path.write_text(json.dumps(speeds | {"openvino int8": 1e9}))
    again = CrossEncoderReranker(tiny_reranker, backend="auto", dtype="auto", device="cpu")
    assert again.dtype != "int8"


def test_a_comparison_that_cannot_be_kept_is_no_failure(tmp_path, caplog):
    in_the_way = tmp_path / "cache"
    in_the_way.write_text("not a folder")
    gate.check("lengths", ByLength(), ByLength, "a basis", in_the_way)
    assert "the comparison cannot be stored" in caplog.text
