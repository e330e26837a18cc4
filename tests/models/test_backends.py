from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.models.backends.installed import install
from rerank_search.models.bert_folder import read_classifier
from rerank_search.models.threads import one_thread
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.loaded_network import loaded_network
from tests import warm

QUERY = "how to join the paths"
TEXTS = ["join file paths with a path", "", "the bread is in the oven", "a boat on the river " * 30]
PAIRS = [(QUERY, text) for text in TEXTS]

installed = {
    "onnx": all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))),
    "openvino": all(map(importlib.util.find_spec, ("onnx", "openvino"))),
}


def needs(backend: str) -> object:
    missing = not installed[backend]
    return pytest.param(
        backend, marks=pytest.mark.skipif(missing, reason=f"needs the extra {backend}")
    )


EXPORTED = [needs("onnx"), needs("openvino")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def expected(tiny_reranker: Path) -> np.ndarray:
    return CrossEncoderReranker(tiny_reranker, backend="torch", dtype="float32").score(PAIRS)


@pytest.mark.parametrize("backend", EXPORTED)
def test_logits_are_those_of_torch(backend, tiny_reranker, expected):
    reranker = CrossEncoderReranker(tiny_reranker, backend=backend, dtype="float32")
    assert (reranker.backend, reranker.dtype) == (backend, "float32")
    np.testing.assert_allclose(reranker.score(PAIRS), expected, atol=1e-4)
    # Alone as in a batch: the graph must not contain padding or the example's shape.
    alone = [reranker.score([pair])[0] for pair in PAIRS]
    np.testing.assert_allclose(alone, expected, atol=1e-4)
    predicted = reranker.predict(PAIRS, prompt="find: ")  # computed by sentence-transformers
    plain = CrossEncoderReranker(tiny_reranker).predict(PAIRS, prompt="find: ")
    np.testing.assert_allclose(predicted, plain, atol=1e-4)


def network_of(directory, backend, cache):
    """The network as the reranker computes it."""
    read = read_classifier(str(directory), "cpu", "float32")
    loaded = loaded_network(read.network, read.tokenizer, str(directory))
    return install(loaded, backend, "float32", cache)


@pytest.mark.parametrize("backend", [*EXPORTED, "torch"])
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_that_are_computed_at_once_keep_their_places(
    backend, threads, tiny_reranker, expected, monkeypatch, tmp_path
):
    before = torch.get_num_threads()
    monkeypatch.setenv("RERANK_SEARCH_THREADS", str(threads))
    try:
        options = {"backend": backend, "dtype": "float32", "batch_tokens": 70}
        reranker = CrossEncoderReranker(tiny_reranker, **options)
        can = backend != "torch" or one_thread() is not None
        assert network_of(tiny_reranker, backend, tmp_path).at_once == (threads if can else 1)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: reranker.score(PAIRS), range(20)))
    finally:
        torch.set_num_threads(before)
    for scores in found:
        np.testing.assert_allclose(scores, expected, atol=1e-4)


WITH_LITTLE_MEMORY = """
import resource, sys
import numpy as np
from rerank_search import CrossEncoderReranker
from rerank_search.reranking.memory import halving

halved = []
def notice(frame, event, _):
    if event == "call" and frame.f_code is halving.__code__:
        halved.append(True)
backend, number, kilobytes = sys.argv[1], *map(int, sys.argv[2:])
options = {"device": "cpu", "backend": backend, "dtype": "float32"}
pairs = [(f"the year {i}", "a word and another " * 20) for i in range(number)]
expected = CrossEncoderReranker("rerank-search-tiny", **options).score(pairs)
reranker = CrossEncoderReranker("rerank-search-tiny", batch_tokens=10**6, **options)
reranker.score(pairs[:2])
[used] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize")]
resource.setrlimit(resource.RLIMIT_AS, ((int(used) + kilobytes) * 1024, resource.RLIM_INFINITY))
sys.setprofile(notice)
np.testing.assert_allclose(reranker.score(pairs), expected, atol=1e-4)
assert halved
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("backend", [*EXPORTED, "torch"])
def test_a_batch_above_memory_is_halved(backend, tmp_path):
    # OpenVINO computes as many pairs in less memory, and starts threads that need some.
    sizes = ("1200", "400000") if backend == "openvino" else ("600", "200000")
    done = warm.start(WITH_LITTLE_MEMORY, backend, *sizes, output=tmp_path / "output")
    assert done.wait() == 0, done.said()


@pytest.mark.parametrize("backend", EXPORTED)
@pytest.mark.parametrize("kind", ["Roberta", "Electra"])
def test_other_kinds_of_models_are_exported_too(backend, kind, tiny_reranker, tmp_path):
    directory = Path(shutil.copytree(tiny_reranker, tmp_path / "other"))
    torch.manual_seed(5)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=80,
        initializer_range=0.3,
        pad_token_id=0,
        num_labels=1,
    )
    getattr(transformers, f"{kind}ForSequenceClassification")(config).save_pretrained(directory)
    plain = CrossEncoderReranker(directory, backend="torch").score(PAIRS)
    found = CrossEncoderReranker(directory, backend=backend).score(PAIRS)
    assert np.ptp(plain) > 0.01
    np.testing.assert_allclose(found, plain, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("backend", EXPORTED)
def test_a_model_that_takes_another_way_through_long_texts_is_not_exported(
    backend, tiny_reranker, tmp_path, cache
):
    directory = Path(shutil.copytree(tiny_reranker, tmp_path / "sparse"))
    torch.manual_seed(5)
    config = transformers.BigBirdConfig(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        block_size=4,
        num_random_blocks=1,
        initializer_range=0.3,
        num_labels=1,
    )
    transformers.BigBirdForSequenceClassification(config).save_pretrained(directory)
    with pytest.raises(InvalidInputError, match=r"exported BigBird.* gives other logits.*'torch'"):
        CrossEncoderReranker(directory, backend=backend, dtype="float32", device="cpu")
    assert not list((cache / "exports").glob("*.onnx"))
    found = CrossEncoderReranker(directory, backend="auto", dtype="float32", device="cpu")
    assert found.backend == "torch"


@pytest.mark.skipif(not installed["onnx"], reason="needs the extra onnx")
def test_a_disk_that_was_at_fault_once_is_tried_again(tiny_reranker, cache):
    (cache / "exports").parent.mkdir()
    (cache / "exports").write_text("in the way")
    options = {"backend": "auto", "dtype": "float32", "device": "cpu"}
    assert CrossEncoderReranker(tiny_reranker, **options).backend == "torch"
    (cache / "exports").unlink()
    CrossEncoderReranker(tiny_reranker, **options)
    [path] = (cache / "backends").glob("*.json")
    assert json.loads(path.read_text())["onnx float32"] > 0


@pytest.mark.skipif(not installed["onnx"], reason="needs the extra onnx")
def test_an_export_in_a_folder_that_cannot_be_written_is_used(tiny_reranker, cache, expected):
    options = {"backend": "onnx", "dtype": "float32", "device": "cpu"}
    CrossEncoderReranker(tiny_reranker, **options)
    for lock in (cache / "exports").glob("*.lock"):
        lock.unlink()
        lock.mkdir()  # even root cannot lock this
    np.testing.assert_allclose(
        CrossEncoderReranker(tiny_reranker, **options).score(PAIRS), expected, atol=1e-4
    )


@pytest.mark.parametrize("backend", ["torch", needs("openvino")])
def test_half_precision_is_near_and_keeps_its_fingerprint(backend, tiny_reranker, expected):
    if not torch.cpu.get_capabilities().get("avx512_bf16"):
        pytest.skip("this CPU has no units for bfloat16")
    reranker = CrossEncoderReranker(tiny_reranker, backend=backend, dtype="bfloat16")
    found = reranker.score(PAIRS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.2)  # features have 8 bits
    exact = CrossEncoderReranker(tiny_reranker, backend=backend, dtype="float32")
    assert exact.fingerprint != reranker.fingerprint
    torch_exact = CrossEncoderReranker(tiny_reranker, backend="torch", dtype="float32")
    assert exact.fingerprint == torch_exact.fingerprint


@pytest.mark.skipif(not installed["onnx"], reason="needs the extra onnx")
@pytest.mark.parametrize("damage", ["cut", "other weights", "no note"])
def test_an_export_that_is_not_what_was_written_is_made_again(
    damage, tiny_reranker, cache, expected, tmp_path
):
    CrossEncoderReranker(tiny_reranker, backend="onnx")
    [path] = (cache / "exports").glob("*.onnx")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "no note":
        path.with_suffix(".json").unlink()
    else:
        other = Path(shutil.copytree(tiny_reranker, tmp_path / "other"))
        weights = {name: -value for name, value in load_file(other / "model.safetensors").items()}
        save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
        CrossEncoderReranker(other, backend="onnx")
        [theirs] = set((cache / "exports").glob("*.onnx")) - {path}
        for suffix in (".onnx", ".json"):
            shutil.copy(theirs.with_suffix(suffix), path.with_suffix(suffix))
    found = CrossEncoderReranker(tiny_reranker, backend="onnx").score(PAIRS)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.skipif(not installed["onnx"], reason="needs the extra onnx")
def test_what_a_killed_export_left_is_removed_by_the_next(tiny_reranker, cache):
    CrossEncoderReranker(tiny_reranker, backend="onnx")
    [path] = (cache / "exports").glob("*.onnx")
    path.unlink()
    left = path.with_name(f".{path.name}.4711.tmp")
    left.write_bytes(b"half of a file")
    CrossEncoderReranker(tiny_reranker, backend="onnx")
    assert path.is_file()
    assert not left.exists()


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_backend_that_is_not_installed_says_what_to_install(backend, tiny_reranker, monkeypatch):
    find = importlib.util.find_spec
    runtime = {"onnx": "onnxruntime"}.get(backend, backend)
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == runtime else find(n))
    install = rf"needs {runtime}: pip install 'rerank-search\[{backend}\]'"
    with pytest.raises(MissingDependencyError, match=install):
        CrossEncoderReranker(tiny_reranker, backend=backend, dtype="float32")
    with pytest.raises(InvalidInputError, match="no backend here can compute backend="):
        CrossEncoderReranker(tiny_reranker, backend=backend, dtype="auto")


def test_what_cannot_be_is_refused(tiny_reranker):
    with pytest.raises(
        InvalidInputError, match="backend='tensorrt' is unknown: use one of auto, torch"
    ):
        CrossEncoderReranker(tiny_reranker, backend="tensorrt")
    with pytest.raises(InvalidInputError, match="does not compute in bfloat16: use one of float32"):
        CrossEncoderReranker(tiny_reranker, backend="onnx", dtype="bfloat16", device="cpu")


def test_auto_measures_once_and_takes_the_fastest(tiny_reranker, cache, expected):
    first = CrossEncoderReranker(tiny_reranker, backend="auto", dtype="auto", device="cpu")
    [path] = (cache / "backends").glob("*.json")
    speeds = json.loads(path.read_text())
    assert f"{first.backend} {first.dtype}" == max(speeds, key=speeds.get)
    assert "torch float32" in speeds
    np.testing.assert_allclose(first.score(PAIRS), expected, atol=0.2)

    # The stored measurements are read; nothing is measured again.
    path.write_text(json.dumps(speeds | {"torch float32": 1e9}))
    again = CrossEncoderReranker(tiny_reranker, backend="auto", dtype="auto", device="cpu")
    assert (again.backend, again.dtype) == ("torch", "float32")


@pytest.mark.slow
@pytest.mark.parametrize("backend", EXPORTED)
def test_an_export_shows_how_far_it_is_on_a_terminal_only(
    backend, tiny_reranker, cache, monkeypatch, capsys
):
    CrossEncoderReranker(tiny_reranker, backend=backend, dtype="float32")
    assert "exporting" not in capsys.readouterr().err
    shutil.rmtree(cache)

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    CrossEncoderReranker(tiny_reranker, backend=backend, dtype="float32")
    shown = terminal.getvalue()
    assert [f"{done}/4" in shown for done in range(5)] == [True] * 5
    CrossEncoderReranker(tiny_reranker, backend=backend, dtype="float32")
    assert terminal.getvalue() == shown  # it is exported once


def test_a_cache_that_is_a_file_is_no_failure(tiny_reranker, cache, expected, caplog):
    cache.write_text("not a folder")
    found = CrossEncoderReranker(tiny_reranker, backend="auto", dtype="float32", device="cpu")
    assert found.backend == "torch"  # which needs no file
    np.testing.assert_allclose(found.score(PAIRS), expected, atol=1e-4)
    assert "cannot be stored" in caplog.text


def test_a_given_precision_narrows_the_choice(tiny_reranker, expected):
    found = CrossEncoderReranker(tiny_reranker, backend="auto", dtype="float32", device="cpu")
    assert found.dtype == "float32"
    np.testing.assert_allclose(found.score(PAIRS), expected, atol=1e-4)


@pytest.mark.slow
def test_measurements_that_cannot_be_read_are_made_again(tiny_reranker, cache):
    CrossEncoderReranker(tiny_reranker, backend="auto", dtype="float32", device="cpu")
    [path] = (cache / "backends").glob("*.json")
    for damaged in ("", "[1]", '{"torch float32": "fast"}'):
        path.write_text(damaged)
        CrossEncoderReranker(tiny_reranker, backend="auto", dtype="float32", device="cpu")
        assert json.loads(path.read_text())["torch float32"] > 0
