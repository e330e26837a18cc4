from __future__ import annotations

import copy

import pytest
import torch
import transformers

from rerank_search.training.model.bert_attention import can_simplify, simplify_attention

IDS = torch.tensor([[1, 7, 8, 2, 9, 9, 10, 2], [1, 30, 2, 5, 2, 0, 0, 0]])


def network(kind: str) -> torch.nn.Module:
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        initializer_range=0.3,
        pad_token_id=0,
        num_labels=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="sdpa",
    )
    model: torch.nn.Module = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    return model.train()


def gradients(model: torch.nn.Module, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradients of the sum of squared logits by weight, and the logits."""
    logits = model(input_ids=ids, attention_mask=(ids != 0).long()).logits
    logits.float().square().sum().backward()
    found = {name: weight.grad for name, weight in model.named_parameters()}
    return {name: grad for name, grad in found.items() if grad is not None} | {"logits": logits}


@pytest.mark.parametrize("ids", [IDS, IDS[:1]], ids=["padding", "no padding"])
@pytest.mark.parametrize("kind", ["Bert", "Roberta", "XLMRoberta"])
def test_logits_and_gradients_are_those_of_the_model_itself(kind, ids):
    plain = network(kind)
    simple = copy.deepcopy(plain)
    assert can_simplify(simple)
    simplify_attention(simple)
    assert list(simple.state_dict()) == list(plain.state_dict())
    expected, found = gradients(plain, ids), gradients(simple, ids)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-4)


def test_bfloat16_is_near():
    plain = network("Bert")
    simple = copy.deepcopy(plain)
    simplify_attention(simple)
    expected = gradients(plain, IDS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradients(simple, IDS)
    for name in ("bert.encoder.layer.0.attention.self.value.weight", "classifier.weight"):
        a, b = found[name].flatten(), expected[name].flatten()
        assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.99


def test_dropout_is_applied_to_the_weights():
    simple = network("Bert")
    simplify_attention(simple)
    for layer in simple.bert.encoder.layer:
        layer.attention.self.dropout.p = 0.5
    options = {"input_ids": IDS, "attention_mask": (IDS != 0).long()}
    assert not torch.equal(simple(**options).logits, simple(**options).logits)
    simple.eval()
    assert torch.equal(simple(**options).logits, simple(**options).logits)


def test_other_models_are_left_alone():
    assert not can_simplify(network("Electra"))
