from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rerank_search import CrossEncoderReranker, InvalidInputError, ModelNotFoundError

PAIRS = [("where is the boat?", "in the harbour"), ("where is the boat?", "bread")]


@pytest.fixture
def changed(any_reranker: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Copies a reranker of a kind, with other values in one of its JSON files."""

    def make(kind: str, file: str, **values: Any) -> Path:
        copy = Path(shutil.copytree(any_reranker(kind), tmp_path / "copy"))
        path = copy / file
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(known | values))
        return copy

    return make


MODULAR = "ModernBERT, pooling, dense"
CAUSAL = "Qwen3 that answers yes or no, in a chat template"


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as raised:
        CrossEncoderReranker(folder, device="cpu")
    assert str(folder) in str(raised.value)


def test_a_module_outside_sentence_transformers_is_not_run(
    any_reranker: Callable[[str], Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(any_reranker(MODULAR), tmp_path / "copy"))
    path = copy / "modules.json"
    modules = json.loads(path.read_text())
    modules[1]["type"] = "modeling_mine.Pooling"
    path.write_text(json.dumps(modules))
    (copy / "modeling_mine.py").write_text("raise SystemExit('this code was run')")
    refused(copy, r"needs code of its own \(modeling_mine.Pooling\)")


def test_an_architecture_with_code_of_its_own_is_not_run(changed: Callable[..., Path]) -> None:
    named = {"AutoConfig": "mine.Config", "AutoModelForSequenceClassification": "mine.Model"}
    folder = changed("BERT", "config.json", model_type="mine", auto_map=named)
    (folder / "mine.py").write_text("raise SystemExit('this code was run')")
    refused(folder, "needs code of its own, and code that comes with a model is never run")


def test_an_activation_that_is_not_torchs_is_named(changed: Callable[..., Path]) -> None:
    folder = changed("BERT", "config.json", sentence_transformers={"activation_fn": "mine.Half"})
    refused(folder, "names 'mine.Half' as its activation_fn")
    # Logits do not depend on it, so that another may be given.
    import torch

    given = CrossEncoderReranker(
        folder, device="cpu", loading={"activation_fn": torch.nn.Sigmoid()}
    )
    logits = given.score(PAIRS)
    np.testing.assert_allclose(given.predict(PAIRS), 1 / (1 + np.exp(-logits)), atol=1e-6)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        (
            "config_sentence_transformers.json",
            {"activation_fn": "mine.Half"},
            "names 'mine.Half' as its activation_fn",
        ),
        ("2_Dense/config.json", {"activation_function": "mine.Gelu"}, "of 2_Dense, which is not"),
        (
            "config_sentence_transformers.json",
            {"model_type": "SparseEncoder"},
            "is a SparseEncoder of a ModernBertModel",
        ),
        ("3_Dense/config.json", {"module_output_name": "others"}, "the last of them a Dense, give"),
    ],
)
def test_a_setting_of_the_modules_that_would_be_ignored_is_named(
    changed: Callable[..., Path], file: str, values: dict[str, Any], message: str
) -> None:
    refused(changed(MODULAR, file, **values), message)


@pytest.mark.parametrize("kind", ["Router", "include_prompt"])
def test_modules_that_are_not_supported_are_refused_with_what_to_use(
    any_reranker: Callable[[str], Path],
    changed: Callable[..., Path],
    tmp_path: Path,
    kind: str,
) -> None:
    if kind == "Router":
        from sentence_transformers import CrossEncoder
        from sentence_transformers.base.modules import Router

        first, *rest = CrossEncoder(str(any_reranker(MODULAR)), device="cpu")
        router = Router.for_query_document(query_modules=[first], document_modules=[first])
        folder = tmp_path / "routed"
        model = CrossEncoder(modules=[router, *rest], device="cpu")
        model.save_pretrained(str(folder), create_model_card=False)
    else:
        folder = changed(MODULAR, "1_Pooling/config.json", include_prompt=False)
    refused(folder, f"{kind}.*not supported: use sentence_transformers.CrossEncoder for it")


def test_a_model_of_sounds_is_refused(changed: Callable[..., Path]) -> None:
    reads = {"audio": {"method": "forward", "method_output_name": "last_hidden_state"}}
    folder = changed(MODULAR, "sentence_bert_config.json", modality_config=reads)
    refused(folder, "does not read pairs of texts")


def test_an_encoder_is_refused(tiny_encoder: Path) -> None:
    refused(tiny_encoder, "is a SentenceTransformer of a BertModel")


def test_an_image_model_is_refused(tmp_path: Path) -> None:
    import transformers

    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=8,
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    refused(tmp_path, "is a ViTForImageClassification, which does not score pairs")


def test_a_generative_model_that_cannot_answer_is_refused(
    tiny_rerankers: ModuleType, tmp_path: Path
) -> None:
    from tests.reranking.conftest import word_tokenizer

    words = word_tokenizer(pad_token="<pad>", model_max_length=64)
    sizes = {"num_key_value_heads": 2, "head_dim": 16, "eos_token_id": 1, "bos_token_id": None}
    folder = tiny_rerankers.network(tmp_path / "model", words, "Qwen3ForCausalLM", **sizes)
    refused(folder, "without a LogitScore module, and its tokenizer has no token 'yes'")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ messages[0].content }}", "'document' content does not reach the rendered prompt"),
        ("{{ raise_exception('only users') }}", "only users"),
        ("{% if %}", "has no place for a query and a document"),
    ],
)
def test_a_template_without_a_place_for_a_pair_is_refused(
    any_reranker: Callable[[str], Path], tmp_path: Path, template: str, message: str
) -> None:
    copy = Path(shutil.copytree(any_reranker(CAUSAL), tmp_path / "copy"))
    (copy / "chat_template.jinja").write_text(template)
    refused(copy, message)


def test_a_processor_is_no_tokenizer(tmp_path: Path, tiny_rerankers: ModuleType) -> None:
    """A reranker of images and texts, as its makers save it, reads more than texts."""
    import transformers

    words = tiny_rerankers.tokenizer("bert")
    tiny_rerankers.network(tmp_path, words, "BertForSequenceClassification", num_labels=1)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 8})
    transformers.CLIPProcessor(images, words).save_pretrained(tmp_path)
    refused(tmp_path, "reads its input with a CLIPProcessor instead of a tokenizer")


def test_a_damaged_file_is_told_by_the_loader(changed: Callable[..., Path]) -> None:
    folder = changed("BERT", "config.json")
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelNotFoundError, match="cannot be read"):
        CrossEncoderReranker(folder, device="cpu")
