from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rerank_search.models.saved import kind_of, saved_model, window_of

SETTINGS = "config_sentence_transformers.json"
ONE = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
MODULES = "sentence_transformers.models"


def written(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def modules(*classes: str, path: str = "") -> list[dict[str, Any]]:
    return [{"idx": i, "type": f"{MODULES}.{each}", "path": path} for i, each in enumerate(classes)]


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"config.json": ONE}, "reranker"),
        ({"config.json": {"architectures": ["XForSequenceClassification"]}}, "other"),
        ({"config.json": ONE | {"id2label": {"0": "a", "1": "b", "2": "c"}}}, "other"),
        ({SETTINGS: {"model_type": "CrossEncoder"}}, "reranker"),
        ({SETTINGS: {"model_type": "SentenceTransformer"}}, "encoder"),
        ({SETTINGS: {"model_type": "SparseEncoder"}}, "sparse"),
        ({SETTINGS: {"model_type": "MultiVectorEncoder"}}, "multi-vector"),
        ({SETTINGS: {"model_type": "ColBERT"}}, "multi-vector"),
        ({"config.json": {"architectures": ["HF_ColBERT"]}}, "multi-vector"),
        ({"modules.json": modules("Transformer", "Pooling")}, "encoder"),
        ({"modules.json": modules("StaticEmbedding")}, "encoder"),
        ({"modules.json": modules("MLMTransformer", "SpladePooling")}, "sparse"),
        ({"modules.json": modules("Transformer", "LogitScore")}, "reranker"),
        ({"config.json": {"architectures": ["LlamaForCausalLM"]}}, "other"),
        ({}, "other"),
        ({"config.json": "{", SETTINGS: "[]", "modules.json": "{}"}, "other"),
        ({"config.json": {"architectures": "X"}, SETTINGS: {"model_type": ["x"]}}, "other"),
        ({"config.json": "[" * 100_000}, "other"),
    ],
)
def test_the_kind_is_told_by_the_files(files: dict[str, Any], kind: str, tmp_path: Path) -> None:
    assert kind_of(written(tmp_path, files)) == kind


@pytest.mark.parametrize(
    ("files", "window"),
    [
        ({"config.json": {"max_position_embeddings": 512}}, 512),
        ({"config.json": {"max_position_embeddings": 514, "model_type": "roberta"}}, 512),
        (
            {
                "config.json": {
                    "max_position_embeddings": 514,
                    "model_type": "mpnet",
                    "pad_token_id": 0,
                }
            },
            513,
        ),
        (
            {
                "config.json": {"max_position_embeddings": 8192},
                "tokenizer_config.json": {"model_max_length": 7999},
            },
            7999,
        ),
        (
            {
                "config.json": {"max_position_embeddings": 512},
                "tokenizer_config.json": {"model_max_length": 10**30},
            },
            512,
        ),
        (
            {
                "config.json": {"max_position_embeddings": 512},
                "sentence_bert_config.json": {"max_seq_length": 256},
            },
            256,
        ),
        (
            {
                "modules.json": modules("Transformer", path="0_Transformer"),
                "0_Transformer/sentence_bert_config.json": {"max_seq_length": 128},
            },
            128,
        ),
        (
            {
                "modules.json": modules("StaticEmbedding"),
                "tokenizer_config.json": {"model_max_length": 512},
            },
            None,
        ),
        ({"config.json": {"max_position_embeddings": "512"}}, None),
        ({}, None),
    ],
)
def test_the_window_is_told_by_the_files(
    files: dict[str, Any], window: int | None, tmp_path: Path
) -> None:
    assert window_of(written(tmp_path, files)) == window


def test_models_that_sentence_transformers_saved_are_recognised(
    tiny_reranker: Path, tiny_encoder: Path
) -> None:
    from sentence_transformers import CrossEncoder, SentenceTransformer

    reranker = saved_model("a", tiny_reranker)
    assert (reranker.kind, reranker.problem) == ("reranker", None)
    assert reranker.window == CrossEncoder(str(tiny_reranker)).max_seq_length
    encoder = saved_model("b", tiny_encoder)
    assert (encoder.kind, encoder.problem) == ("encoder", None)
    assert encoder.window == SentenceTransformer(str(tiny_encoder)).max_seq_length
    assert encoder.size == sum(p.stat().st_size for p in tiny_encoder.rglob("*") if p.is_file())


def test_a_model_without_safetensors_says_so(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    model = saved_model("a/b", written(tmp_path, {"config.json": ONE}), size=5)
    assert (model.kind, model.size, model.problem) == ("reranker", 5, "no .safetensors weights")
