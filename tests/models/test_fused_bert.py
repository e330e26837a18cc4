from __future__ import annotations

import copy

import pytest
import torch
import transformers

from rerank_search.models.backends.exportable import exportable
from rerank_search.models.fused_bert import can_fuse, fuse

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}

IDS = torch.tensor([[1, 7, 8, 2, 9, 9, 10, 2], [1, 30, 2, 5, 2, 0, 0, 0], [1, 2, 2, 0, 0, 0, 0, 0]])

MANY = IDS.repeat(50, 1)
"""Enough tokens to fill rows."""


def network(kind: str, **options: object) -> torch.nn.Module:
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(**SIZES | {"num_labels": 1} | options)
    model: torch.nn.Module = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    for name, weights in model.named_parameters():
        if name.endswith("bias"):  # new biases are 0, and a missing one would not be noticed
            torch.nn.init.normal_(weights, std=0.3)
    return model.eval()


def logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=ids, attention_mask=(ids != 0).long()).logits
    return found


@pytest.mark.parametrize("ids", [IDS, IDS[:1], MANY], ids=["padding", "no padding", "many"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Bert", {}),
        ("Bert", {"num_hidden_layers": 1}),
        ("Bert", {"num_labels": 3}),
        ("Bert", {"layer_norm_eps": 0.1}),
        ("Roberta", {"type_vocab_size": 1}),
        ("XLMRoberta", {"type_vocab_size": 1}),
    ],
)
def test_logits_are_those_of_the_plain_forward_pass(kind, options, ids):
    plain = network(kind, **options)
    fused = copy.deepcopy(plain)
    assert can_fuse(fused, "float32")
    fuse(fused, "float32")
    torch.testing.assert_close(logits(fused, ids), logits(plain, ids), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU cannot compute in bfloat16"
)
@pytest.mark.parametrize("ids", [IDS, MANY, MANY[:, :1]], ids=["few", "many", "one token"])
@pytest.mark.parametrize("layers", [1, 2])
def test_bfloat16_is_near_and_what_it_returns_is_float32(ids, layers):
    plain = network("Bert", num_hidden_layers=layers)
    fused = copy.deepcopy(plain)
    fuse(fused, "bfloat16")
    found = logits(fused, ids)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, logits(plain, ids), atol=0.05, rtol=0.05)
    assert not torch.equal(found, logits(plain, ids))


@pytest.mark.parametrize("ids", [IDS, MANY], ids=["few", "many"])
@pytest.mark.parametrize("kind", ["Bert", "Roberta", "XLMRoberta"])
def test_outputs_of_all_tokens_are_those_of_the_plain_model(kind, ids):
    plain = network(kind).base_model
    fused = copy.deepcopy(plain)
    assert can_fuse(fused, "float32")
    fuse(fused, "float32")
    options = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    with torch.inference_mode():
        found, expected = (each(**options) for each in (fused, plain))
    read = ids != 0  # nothing reads the values at padding
    outputs, expected_outputs = found.last_hidden_state[read], expected.last_hidden_state[read]
    torch.testing.assert_close(outputs, expected_outputs, atol=1e-5, rtol=1e-5)
    if expected.pooler_output is not None:
        torch.testing.assert_close(
            found.pooler_output, expected.pooler_output, atol=1e-5, rtol=1e-5
        )


def test_token_types_are_read():
    plain = network("Bert")
    fused = copy.deepcopy(plain)
    fuse(fused, "float32")
    types = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])
    options = {"input_ids": IDS[:1], "attention_mask": torch.ones_like(types)}
    with torch.inference_mode():
        found = fused(**options, token_type_ids=types).logits
        torch.testing.assert_close(found, plain(**options, token_type_ids=types).logits)
    assert not torch.allclose(found, logits(plain, IDS[:1]))


@pytest.mark.parametrize(
    ("model", "dtype"),
    [
        (network("Bert", hidden_act="relu"), "float32"),
        (network("Bert"), "float16"),
        (network("Electra"), "float32"),
        (network("Bert").double(), "float32"),
        (network("Bert", output_hidden_states=True).base_model, "float32"),
    ],
)
def test_what_it_does_not_know_is_left_alone(model, dtype):
    assert not can_fuse(model, dtype)


def test_inputs_that_it_does_not_read_are_an_error_and_no_mask_is_no_padding():
    plain = network("Bert")
    fused = copy.deepcopy(plain)
    fuse(fused, "float32")
    with torch.inference_mode():
        torch.testing.assert_close(fused(input_ids=IDS[:1]).logits, plain(input_ids=IDS[:1]).logits)
        with pytest.raises(TypeError, match="position_ids cannot be given"):
            fused(input_ids=IDS, position_ids=torch.zeros_like(IDS))


def test_layers_with_an_adapter_are_left_alone():
    class Adapted(torch.nn.Linear):
        """A layer like one with a low-rank adapter: its output is not that of its weight."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return super().forward(inputs) + inputs.flip(-1)

    adapted = network("Bert")
    for layer in adapted.bert.encoder.layer:
        layer.attention.self.value = Adapted(32, 32)
    assert not can_fuse(adapted, "float32")
    exported = exportable(adapted, ["input_ids", "attention_mask"])
    with torch.inference_mode():
        found = exported.logits(exported(IDS, (IDS != 0).long()))
    torch.testing.assert_close(found, logits(adapted, IDS))


@pytest.mark.parametrize("classifier", [True, False])
def test_nothing_but_padding_spoils_no_other_row(classifier):
    whole = network("Bert")
    plain = whole if classifier else whole.base_model
    fused = copy.deepcopy(plain)
    fuse(fused, "float32")
    mask = (IDS != 0).long()
    mask[1] = 0
    with torch.inference_mode():
        found, expected = (each(input_ids=IDS, attention_mask=mask)[0] for each in (fused, plain))
    assert found.isfinite().all()
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-5)


def test_gelu_is_exact_in_both_ways(monkeypatch):
    plain = network("Bert")
    for capability in ("AVX2", "AVX512"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda it=capability: it)
        fused = copy.deepcopy(plain)
        fuse(fused, "float32")
        torch.testing.assert_close(logits(fused, IDS), logits(plain, IDS), atol=1e-5, rtol=1e-5)
