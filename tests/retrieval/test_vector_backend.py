"""The backends and precisions that compute an encoder's vectors."""

import copy
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel

from rerank_search.errors import InvalidInputError
from rerank_search.models.backends.options import has_bfloat16
from rerank_search.retrieval.encoder import Encoder

TEXTS = ["red bird", "", "the river and the sea " * 40, "an old stone tower"]

needs_bfloat16 = pytest.mark.skipif(not has_bfloat16(), reason="needs a CPU with bfloat16 units")


def needs(backend: str, package: str) -> object:
    there = all(map(importlib.util.find_spec, ("onnx", package)))
    return pytest.param(
        backend, marks=pytest.mark.skipif(not there, reason=f"needs the extra {backend}")
    )


OPENVINO, ONNX = needs("openvino", "openvino"), needs("onnx", "onnxruntime")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RERANK_SEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def expected(tiny_encoder: Path) -> np.ndarray:
    return Encoder(tiny_encoder, device="cpu").encode(TEXTS)


@pytest.mark.parametrize("backend", [OPENVINO, ONNX])
def test_vectors_are_those_of_torch(backend, tiny_encoder, expected):
    encoder = Encoder(tiny_encoder, device="cpu", backend=backend)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    alone = [encoder.encode([text])[0] for text in TEXTS]
    np.testing.assert_allclose(alone, expected, atol=1e-5)


@pytest.mark.parametrize("backend", [OPENVINO])
def test_other_poolings_are_exported_too(backend, tiny_encoder, tmp_path):
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "cls"))
    [config] = folder.glob("*_Pooling/config.json")
    config.write_text(config.read_text().replace('"mean"', '"cls"'))
    first = Encoder(folder, device="cpu")
    assert first.pooling == "cls"
    found = Encoder(folder, device="cpu", backend=backend).encode(TEXTS)
    np.testing.assert_allclose(found, first.encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("backend", [OPENVINO])
def test_vectors_in_int8_are_close_to_float32_and_have_length_1(backend, tiny_encoder, expected):
    encoder = Encoder(tiny_encoder, device="cpu", dtype="int8")
    assert encoder.backend == backend
    found = encoder.encode(TEXTS)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert (found * expected).sum(axis=1).min() > 0.99
    assert not np.array_equal(found, expected)


@pytest.mark.parametrize("backend", [OPENVINO])
def test_an_encoder_that_int8_spoils_is_refused_with_the_figure(backend, tiny_encoder, tmp_path):
    # Many layers of large random weights amplify small rounding errors.
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "wild"))
    config = AutoConfig.from_pretrained(folder, num_hidden_layers=6, initializer_range=1.0)
    torch.manual_seed(5)
    AutoModel.from_config(config).save_pretrained(folder)
    encoder = Encoder(folder, device="cpu", backend=backend, dtype="int8")
    with pytest.raises(InvalidInputError, match=r"int8 changes the vectors of '.*wild' .*0\.\d{3}"):
        encoder.encode(["red bird"])


@needs_bfloat16
@pytest.mark.parametrize("backend", ["torch", OPENVINO])
def test_vectors_in_bfloat16_are_close_to_float32(backend, tiny_encoder, expected):
    encoder = Encoder(tiny_encoder, device="cpu", backend=backend, dtype="bfloat16")
    found = encoder.encode(TEXTS)
    assert (found * expected).sum(axis=1).min() > 0.999
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert not np.array_equal(found, expected)


@pytest.mark.skipif(has_bfloat16(), reason="this CPU has units for bfloat16")
@pytest.mark.parametrize("backend", ["torch", OPENVINO])
def test_bfloat16_is_refused_where_the_cpu_has_no_units(backend, tiny_encoder):
    encoder = Encoder(tiny_encoder, device="cpu", backend=backend, dtype="bfloat16")
    with pytest.raises(InvalidInputError, match="bfloat16 units"):
        encoder.encode(["red bird"])


def test_auto_is_the_same_on_every_machine(tiny_encoder, monkeypatch):
    encoder = Encoder(tiny_encoder, backend="auto", dtype="auto")
    assert (encoder.backend, encoder.dtype) == ("torch", "float32")
    # The settings of rerankers do not hold: they would change the vectors of an index.
    monkeypatch.setenv("RERANK_SEARCH_BACKEND", "openvino")
    monkeypatch.setenv("RERANK_SEARCH_DTYPE", "bfloat16")
    encoder = Encoder(tiny_encoder)
    assert (encoder.backend, encoder.dtype) == ("torch", "float32")


def test_the_settings_of_encoders_hold_where_no_argument_is_given(tiny_encoder, monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_ENCODER_BACKEND", "openvino")
    monkeypatch.setenv("RERANK_SEARCH_ENCODER_DTYPE", "int8")
    encoder = Encoder(tiny_encoder)
    assert (encoder.backend, encoder.dtype) == ("openvino", "int8")
    encoder = Encoder(tiny_encoder, backend="torch", dtype="float32")
    assert (encoder.backend, encoder.dtype) == ("torch", "float32")


@pytest.mark.parametrize(
    "given",
    [
        {"backend": "tensorrt"},
        {"dtype": "float16"},
        {"dtype": 8},
        {"backend": "torch", "dtype": "int8"},
        {"backend": "onnx", "dtype": "bfloat16"},
    ],
)
def test_what_cannot_be_computed_is_named_at_once(given):
    last = list(given)[-1]
    with pytest.raises(InvalidInputError, match=rf"{given[last]}.* use "):
        Encoder("tiny", **given)


def test_a_copy_computes_with_the_same_backend(tiny_encoder):
    encoder = Encoder(tiny_encoder, backend="openvino", dtype="int8", truncate_dim=8)
    again = copy.deepcopy(encoder)
    assert (again.backend, again.dtype, again.truncate_dim) == ("openvino", "int8", 8)


def test_a_precision_that_changes_vectors_is_part_of_the_identity(tiny_encoder):
    plain = Encoder(tiny_encoder).identity()
    assert Encoder(tiny_encoder, backend="onnx").identity() == plain
    assert Encoder(tiny_encoder, dtype="int8").identity() != plain


def test_a_model_that_only_torch_computes_is_named(prompted_encoder):
    folder = prompted_encoder({"query": "query: "})
    encoder = Encoder(folder, device="cpu", backend="openvino")
    with pytest.raises(InvalidInputError, match=r"backend='openvino' and dtype='float32': use"):
        encoder.encode(["red bird"])
