"""Models that a run can begin with: architectures, windows and dropouts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="training needs the extra train")

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder
from transformers import AutoTokenizer

from rerank_search import CrossEncoderReranker
from rerank_search.errors import InvalidInputError
from rerank_search.training.run.prepare import prepare
from rerank_search.training.train import train

SMALL = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
KINDS = {
    "DistilBert": {"vocab_size": 200, "dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64},
    "DebertaV2": {**SMALL, "intermediate_size": 64},
    "Roberta": {**SMALL, "intermediate_size": 64, "max_position_embeddings": 66},
    "XLNet": {"vocab_size": 200, "d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 64},
}


@pytest.mark.training
@pytest.mark.parametrize("kind", KINDS)
def test_other_architectures_are_trained_too(
    kind: str, unmeasured_recipe: Path, tiny_reranker: Path, tmp_path: Path
) -> None:
    config = getattr(transformers, f"{kind}Config")(**KINDS[kind], num_labels=1, pad_token_id=1)
    base = tmp_path / "base"
    tokenizer = AutoTokenizer.from_pretrained(tiny_reranker)
    config.vocab_size = len(tokenizer)
    if kind == "Roberta":
        config.type_vocab_size = 2
    getattr(transformers, f"{kind}ForSequenceClassification")(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    overrides = {"base": "base", "max_steps": "2", "dropout": "0.25"}
    directory = train(unmeasured_recipe, overrides=overrides)
    written = json.loads((directory / "config.json").read_text())
    dropouts = [value for name, value in written.items() if "drop" in name and value is not None]
    assert set(dropouts) == {0.25}
    assert CrossEncoder(str(directory)).predict([("river", "bread")]).shape == (1,)


@pytest.mark.training
@pytest.mark.parametrize(
    "kind",
    [
        "ModernBERT",
        "ModernBERT, pooling, dense",
        "Qwen3 that answers yes or no, in a chat template",
    ],
)
def test_rerankers_of_other_kinds_are_trained_too(
    kind: str, unmeasured_recipe: Path, any_reranker: Callable[[str], Path], tmp_path: Path
) -> None:
    base = any_reranker(kind)
    pairs = [("the river is red", "the river is green"), ("the river is red", "bread")]
    overrides = {"base": str(base), "max_steps": "2", "dropout": "0", "max_length": "48"}
    if "template" in kind:
        overrides["max_length"] = "160"
    directory = train(unmeasured_recipe, overrides=overrides)
    trained = CrossEncoderReranker(directory, device="cpu")
    untuned = CrossEncoderReranker(base, device="cpu")
    assert (trained.score(pairs) != untuned.score(pairs)).all()
    assert trained.takes_instructions == untuned.takes_instructions
    found = CrossEncoder(str(directory), device="cpu").predict(
        pairs, activation_fn=torch.nn.Identity()
    )
    np.testing.assert_allclose(trained.score(pairs), found, atol=1e-5)


@pytest.mark.training
def test_a_base_with_a_prompt_is_trained_with_it(
    unmeasured_recipe: Path, any_reranker: Callable[[str], Path], tmp_path: Path
) -> None:
    """As a base without one is, whose recipe gives the trainer that prompt."""
    weights = {}
    for kind, given in (
        ("BERT with a prompt", {}),
        ("BERT", {"arguments.prompts": "find texts: "}),
        ("BERT", {"arguments.learning_rate": "1e-3"}),
    ):
        overrides = {"base": str(any_reranker(kind)), "max_steps": "2", "max_length": "48", **given}
        trained = train(
            unmeasured_recipe, overrides={**overrides, "output": str(tmp_path / str(len(weights)))}
        )
        weights[(kind, *given)] = load_file(trained / "model.safetensors")["classifier.weight"]
    prompted, given, without = weights.values()
    torch.testing.assert_close(prompted, given)
    assert not torch.allclose(given, without)


def test_a_base_that_needs_code_of_its_own_is_refused(
    unmeasured_recipe: Path, any_reranker: Callable[[str], Path], tmp_path: Path
) -> None:
    base = shutil.copytree(any_reranker("ModernBERT, pooling, dense"), tmp_path / "base")
    modules = (base / "modules.json").read_text()
    (base / "modules.json").write_text(modules.replace("sentence_transformers.", "mine.", 1))
    with pytest.raises(InvalidInputError, match="needs code of its own"):
        prepare(unmeasured_recipe, overrides={"base": "base"})


def test_training_computes_with_the_threads_that_are_set(
    unmeasured_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("RERANK_SEARCH_THREADS", str(before + 1))
    try:
        prepare(unmeasured_recipe)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.training
def test_pairs_are_cut_to_what_the_base_reads(unmeasured_recipe: Path) -> None:
    path = unmeasured_recipe.parent / "train.csv"
    path.write_text(path.read_text() + f"{'river ' * 200},bread,0\n", encoding="utf-8")
    assert prepare(unmeasured_recipe).recipe.max_length == 64
    directory = train(unmeasured_recipe, overrides={"max_steps": "2"})
    assert CrossEncoder(str(directory)).max_seq_length == 64


@pytest.mark.training
def test_a_model_trained_on_long_pairs_reads_long_pairs(
    unmeasured_recipe: Path, tiny_reranker: Path, tmp_path: Path
) -> None:
    config = transformers.BertConfig(
        **SMALL, intermediate_size=64, max_position_embeddings=1200, num_labels=1
    )
    tokenizer = AutoTokenizer.from_pretrained(tiny_reranker)
    tokenizer.model_max_length = 1200
    config.vocab_size = len(tokenizer)
    base = tmp_path / "base"
    transformers.BertForSequenceClassification(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    overrides = {"base": "base", "max_steps": "1"}
    for tokens, window in (("32", 512), ("1024", 1024)):
        output = f"model-{tokens}"
        directory = train(
            unmeasured_recipe, overrides=overrides | {"max_length": tokens, "output": output}
        )
        assert CrossEncoder(str(directory)).max_seq_length == window


@pytest.mark.parametrize("device", ["toaster", "meta", "cuda:99"])
def test_a_device_that_cannot_be_used_is_named(
    unmeasured_recipe: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_DEVICE", device)
    with pytest.raises(InvalidInputError, match=f"{device}' cannot be used .*use cpu"):
        train(unmeasured_recipe)
