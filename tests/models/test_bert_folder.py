from __future__ import annotations

import json
import logging
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.models.bert_folder import read_classifier, read_encoder
from rerank_search.models.fused_bert import can_fuse, fuse
from rerank_search.models.registry import (
    BUNDLED_RERANKERS,
    DEFAULT_ENCODER,
    resolve_encoder,
    resolve_reranker,
)
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.retrieval.encoder import Encoder

HALF = pytest.param(
    "bfloat16",
    marks=pytest.mark.skipif(
        not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
        reason="this CPU cannot compute in bfloat16",
    ),
)

WORDS = st.sampled_from(
    [
        "the",
        "İstanbul",
        "join",
        "paths",
        "中文",
        "ﬁle",
        "naïve",
        "a\u0301",
        "[SEP]",
        "[MASK]",
        "\u200b",
    ]
)
TEXTS = st.lists(st.one_of(WORDS, st.text(max_size=12)), max_size=40).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6).map(
    lambda pairs: [pair for pair in pairs if all(map(encodable, pair))]
)


def encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def left_to_sentence_transformers(directory: Path | str, copy: Path) -> Path:
    """A copy with the same content and an unknown setting."""
    shutil.copytree(directory, copy)
    change(copy / "tokenizer_config.json", {"made_by": "a test"})
    return copy


def change(path: Path, values: dict[str, Any]) -> None:
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(found | values))


def tokenizer_state(tokenizer: Any) -> dict[str, Any]:
    """The state of a tokenizer, without the parts that each call sets."""
    state: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: value for name, value in state.items() if name not in ("truncation", "padding")}


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLED_RERANKERS)
def test_bundled_rerankers_are_read_with_the_tokenizer_of_transformers(name: str) -> None:
    directory = resolve_reranker(name)
    plain = read_classifier(directory, "cpu", "float32")
    assert plain is not None
    whole = CrossEncoder(directory, device="cpu")
    assert tokenizer_state(plain.tokenizer) == tokenizer_state(whole.tokenizer)
    for attribute in ("pad_token_id", "model_max_length", "truncation_side", "padding_side"):
        assert getattr(plain.tokenizer, attribute) == getattr(whole.tokenizer, attribute)
    assert set(plain.tokenizer.model_input_names) == set(whole.tokenizer.model_input_names)
    assert type(plain.activation) is type(whole.activation_fn)
    assert plain.network.config.num_labels == whole.num_labels
    for weight, (label, expected) in zip(
        [weight for name, weight in sorted(plain.network.named_parameters())],
        sorted(whole.transformers_model.float().named_parameters()),
        strict=True,
    ):
        assert torch.equal(weight, expected), label


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The bundled tiny reranker as we read it ourselves, and as sentence-transformers does."""
    directory = resolve_reranker("rerank-search-tiny")
    whole = left_to_sentence_transformers(directory, tmp_path_factory.mktemp("whole") / "model")
    assert read_classifier(directory, "cpu", "float32") is not None
    assert read_classifier(str(whole), "cpu", "float32") is None
    return [directory, str(whole)]


@pytest.fixture(scope="module")
def by_dtype(directories: list[str]) -> Callable[[str], list[Any]]:
    """A reranker from each of the directories."""

    def load(dtype: str) -> list[Any]:
        options: Any = {"device": "cpu", "backend": "torch", "dtype": dtype}
        return [CrossEncoderReranker(each, **options) for each in directories]

    return load


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", HALF])
def test_logits_are_those_through_sentence_transformers_to_the_bit(
    dtype: str, by_dtype: Callable[[str], list[Any]]
) -> None:
    plain, whole = by_dtype(dtype)

    @settings(max_examples=25)
    @given(pairs=PAIRS)
    def check(pairs: list[tuple[str, str]]) -> None:
        assert plain.score(pairs).tolist() == whole.score(pairs).tolist()
        windows = [
            each.score_with_report(pairs, long_documents="max_passage") for each in (plain, whole)
        ]
        assert windows[0].values.tolist() == windows[1].values.tolist()

    check()
    assert plain.max_length == whole.max_length


@pytest.mark.slow
def test_int8_is_fitted_to_the_same_tokens(directories: list[str]) -> None:
    plain = read_classifier(directories[0], "cpu", "float32")
    assert plain is not None
    whole = CrossEncoder(directories[1], device="cpu")
    texts = ["a river and the sea " * 40, "", "İstanbul"]
    options: Any = {"truncation": True, "max_length": 20, "padding": True}
    found = plain.tokenizer(["how to join", "a", "b"], texts, **options)
    expected = whole.tokenizer(["how to join", "a", "b"], texts, **options)
    assert dict(found) == dict(expected)


def encoders(tmp_path: Path, directory: str | Path) -> tuple[Encoder, Encoder]:
    assert read_encoder(str(directory), "cpu") is not None
    whole = left_to_sentence_transformers(directory, tmp_path / "whole")
    assert read_encoder(str(whole), "cpu") is None
    return Encoder(str(directory), device="cpu"), Encoder(str(whole), device="cpu")


@pytest.mark.slow
def test_vectors_are_those_through_sentence_transformers_to_the_bit(tmp_path: Path) -> None:
    plain, whole = encoders(tmp_path, resolve_encoder(DEFAULT_ENCODER))
    assert (plain.window, plain.dimension) == (whole.window, whole.dimension)
    read = read_encoder(plain.name, "cpu")
    assert read is not None
    tokenizers = read.tokenizer, SentenceTransformer(whole.name, device="cpu").tokenizer

    @settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
    @given(texts=st.lists(TEXTS.filter(encodable), min_size=1, max_size=8))
    def check(texts: list[str]) -> None:
        # Batches of other texts may differ in the last bits.
        np.testing.assert_allclose(plain.encode(texts), whole.encode(texts), atol=1e-6)
        assert np.array_equal(plain.encode(texts[:1]), whole.encode(texts[:1]))
        assert plain.token_offsets(texts[0]) == whole.token_offsets(texts[0])
        tokens = [tokenizer.tokenize(texts[0]) for tokenizer in tokenizers]
        assert tokens[0] == tokens[1]

    check()
    long = ["a river " * 400, *string.ascii_lowercase]
    np.testing.assert_allclose(plain.encode(long), whole.encode(long), atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalised", [0, 1, 2])
def test_pooling_and_normalising_are_the_models_own(
    pooling: Any, normalised: int, tiny_encoder: Path, tmp_path: Path
) -> None:
    modules = [Transformer(str(tiny_encoder)), Pooling(32, pooling)]
    modules += [Normalize() for _ in range(normalised)]
    directory = tmp_path / "made"
    SentenceTransformer(modules=modules, device="cpu").save(str(directory), create_model_card=False)
    plain, whole = encoders(tmp_path, directory)
    texts = ["the red bird", "a boat on the river " * 9, ""]
    assert np.array_equal(plain.encode(texts), whole.encode(texts))


def test_a_bert_that_somebody_trained_is_read_and_computed_alike(
    tiny_reranker: Path, tmp_path: Path
) -> None:
    """The folder has no files of sentence-transformers, and tokenizer.json is used unchanged."""
    whole = left_to_sentence_transformers(tiny_reranker, tmp_path / "whole")
    assert read_classifier(str(tiny_reranker), "cpu", "float32") is not None
    pairs = [("the red bird", "a boat on the river " * 40), ("a", ""), ("queen", "king £ 中文")]
    plain, other = (CrossEncoderReranker(each, device="cpu") for each in (tiny_reranker, whole))
    assert plain.score(pairs).tolist() == other.score(pairs).tolist()
    assert plain.predict(pairs).tolist() == other.predict(pairs).tolist()
    assert plain.rank("a bird", [text for _, text in pairs]) == other.rank(
        "a bird", [text for _, text in pairs]
    )


def test_the_plain_pass_is_that_of_transformers(tiny_reranker: Path) -> None:
    """Exports are compared with it before they are kept."""
    plain = read_classifier(str(tiny_reranker), "cpu", "float32")
    assert plain is not None
    whole = transformers.BertForSequenceClassification.from_pretrained(tiny_reranker).eval()
    inputs = plain.tokenizer(["a red bird", "sea"], ["the river", "a b c d e f"], padding=True)
    tensors = {name: torch.tensor(values) for name, values in inputs.items()}
    assert can_fuse(plain.network, "float32")
    with torch.inference_mode():
        expected = whole(**tensors).logits
        torch.testing.assert_close(plain.network(**tensors).logits, expected, atol=1e-5, rtol=1e-5)
        untyped = {name: tensors[name] for name in ("input_ids", "attention_mask")}
        torch.testing.assert_close(plain.network(**untyped).logits, whole(**untyped).logits)
        fuse(plain.network, "float32")
        torch.testing.assert_close(plain.network(**tensors).logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("named", ["float32", "float16", None])
def test_weights_are_rounded_as_transformers_rounds_them(
    stored: torch.dtype, named: str | None, tiny_reranker: Path, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(tiny_reranker, tmp_path / "half"))
    weights = load_file(directory / "model.safetensors")
    halves = {name: weight.to(stored) for name, weight in weights.items()}
    save_file(halves, directory / "model.safetensors", {"format": "pt"})
    config = json.loads((directory / "config.json").read_text())
    config.pop("dtype", None)
    (directory / "config.json").write_text(json.dumps(config | ({"dtype": named} if named else {})))
    assert read_classifier(str(directory), "cpu", "float32") is not None
    plain = CrossEncoderReranker(directory, device="cpu")
    other = CrossEncoderReranker(
        left_to_sentence_transformers(directory, tmp_path / "whole"), device="cpu"
    )
    pairs = [("the red bird", "a boat on the river"), ("a", "")]
    assert plain.score(pairs).tolist() == other.score(pairs).tolist()


UNUSUAL: dict[str, tuple[str, dict[str, Any]]] = {
    "another activation in its layers": ("config.json", {"hidden_act": "relu"}),
    "a decoder": ("config.json", {"is_decoder": True}),
    "relative positions": ("config.json", {"position_embedding_type": "relative_key"}),
    "hidden states": ("config.json", {"output_hidden_states": True}),
    "quantised": ("config.json", {"quantization_config": {"load_in_8bit": True}}),
    "code of its own": ("config.json", {"auto_map": {"AutoModel": "code.Model"}}),
    "another number of layers": ("config.json", {"num_hidden_layers": 1}),
    "another number of labels": ("config.json", {"id2label": {"0": "no", "1": "yes"}}),
    "an activation of its own": (
        "config.json",
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}},
    ),
    "cut on the left": ("tokenizer_config.json", {"truncation_side": "left"}),
    "padded on the left": ("tokenizer_config.json", {"padding_side": "left"}),
    "special tokens in texts": ("tokenizer_config.json", {"split_special_tokens": True}),
    "tokens that are added": ("tokenizer_config.json", {"extra_special_tokens": ["[DOC]"]}),
    "another class": ("tokenizer_config.json", {"tokenizer_class": "RobertaTokenizer"}),
    "another separator": ("tokenizer_config.json", {"sep_token": "[END]"}),
    "added_tokens.json": ("added_tokens.json", {"[DOC]": 500}),
    "an adapter": ("adapter_config.json", {}),
    "weights in parts": ("model.safetensors.index.json", {}),
}


@pytest.mark.parametrize("unusual", UNUSUAL)
def test_what_is_unusual_is_left_to_sentence_transformers(
    unusual: str, tiny_reranker: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Path(shutil.copytree(tiny_reranker, tmp_path / "unusual"))
    name, values = UNUSUAL[unusual]
    change(directory / name, values)
    with caplog.at_level(logging.DEBUG, "rerank_search"):
        assert read_classifier(str(directory), "cpu", "float32") is None
    assert "is loaded by sentence-transformers, because" in caplog.text


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("config_sentence_transformers.json", {"prompts": {"query": "query: "}}),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}),
        ("config_sentence_transformers.json", {"truncate_dim": 8}),
        ("config_sentence_transformers.json", {"requirements": {"python": ">=3"}}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("sentence_bert_config.json", {"query_length": 8}),
        ("sentence_bert_config.json", {"max_seq_length": 65}),
        ("1_Pooling/config.json", {"pooling_mode": "max"}),
        ("1_Pooling/config.json", {"include_prompt": False}),
        ("2_Normalize/config.json", {"module_output_name": "other"}),
    ],
)
def test_encoders_with_settings_of_their_own_are_left_too(
    name: str, values: dict[str, Any], tiny_encoder: Path, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(tiny_encoder, tmp_path / "unusual"))
    assert read_encoder(str(directory), "cpu") is not None
    (directory / name).parent.mkdir(exist_ok=True)
    change(directory / name, values)
    assert read_encoder(str(directory), "cpu") is None


def test_an_encoder_in_half_precision_is_computed_in_it(tiny_encoder: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(tiny_encoder, tmp_path / "half"))
    change(directory / "config.json", {"dtype": "float16"})
    assert read_encoder(str(directory), "cpu") is None


@pytest.mark.parametrize("device", ["cuda", "mps", "meta"])
def test_other_devices_are_left(device: str, tiny_reranker: Path) -> None:
    assert read_classifier(str(tiny_reranker), device, "float32") is None


def without_tokenizer(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()
    (directory / "tokenizer_config.json").unlink()


def cut_weights(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5_000])


def bi_encoder(directory: Path) -> None:
    change(directory / "config.json", {"architectures": ["BertModel"]})


def cut_config(directory: Path) -> None:
    (directory / "config.json").write_text('{"model_type": "bert", ')


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (without_tokenizer, ModelNotFoundError, "has no tokenizer"),
        (cut_weights, ModelNotFoundError, "cannot be read"),
        (cut_config, ModelNotFoundError, "cannot be read"),
        (bi_encoder, InvalidInputError, "is a BertModel"),
    ],
)
def test_what_is_wrong_with_a_model_is_told_as_before(
    damage: Callable[[Path], None],
    error: type[Exception],
    message: str,
    tiny_reranker: Path,
    tmp_path: Path,
) -> None:
    directory = Path(shutil.copytree(tiny_reranker, tmp_path / "damaged"))
    damage(directory)
    with pytest.raises(error, match=message):
        CrossEncoderReranker(directory, device="cpu")


def test_what_sentence_transformers_is_asked_for_is_computed_alike(
    tiny_reranker: Path, tmp_path: Path
) -> None:
    whole = left_to_sentence_transformers(tiny_reranker, tmp_path / "whole")
    plain, other = (
        CrossEncoderReranker(each, device="cpu", max_length=20) for each in (tiny_reranker, whole)
    )
    pairs = [("the red bird", "a boat on the river " * 9), ("a", "")]
    options: Any = {"prompt": "find: ", "show_progress_bar": False}
    assert plain.predict(pairs, **options).tolist() == other.predict(pairs, **options).tolist()
