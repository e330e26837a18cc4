from __future__ import annotations

import pytest
import torch
from sentence_transformers import CrossEncoder

from rerank_search.training.model.dropout import BlockwiseDropout, use_blockwise_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_a_share_of_the_values_is_dropped_and_the_others_are_scaled(dtype, p):
    torch.manual_seed(3)
    ones = torch.ones(200, 501, dtype=dtype)
    dropped = BlockwiseDropout(p)(ones)
    assert dropped.dtype == dtype
    assert float((dropped == 0).float().mean()) == pytest.approx(p, abs=0.005)
    assert set(dropped.unique().tolist()) == {0.0, float(torch.tensor(1 / (1 - p), dtype=dtype))}
    # Neither rows nor columns are dropped together.
    shares = torch.cat([(dropped == 0).float().mean(dim) for dim in (0, 1)])
    assert float((shares - p).abs().max()) < 0.16


def test_the_seed_of_torch_decides_and_each_call_differs():
    layer, ones = BlockwiseDropout(0.5), torch.ones(1000)
    torch.manual_seed(1)
    first, second = layer(ones), layer(ones)
    torch.manual_seed(1)
    assert torch.equal(layer(ones), first)
    assert torch.equal(layer(ones), second)
    assert not torch.equal(first, second)


def test_gradients_flow_through_what_was_kept():
    values = torch.ones(1000, requires_grad=True)
    dropped = BlockwiseDropout(0.25)(values)
    dropped.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, dropped.detach())


def test_nothing_is_dropped_outside_of_training_or_without_a_share():
    values = torch.ones(10)
    assert BlockwiseDropout(0.5).eval()(values) is values
    assert BlockwiseDropout(0.0)(values) is values


def test_a_model_keeps_its_shares(tiny_reranker):
    model = CrossEncoder(str(tiny_reranker), config_kwargs={"hidden_dropout_prob": 0.3})
    use_blockwise_dropout(model.model)
    layers = [each for each in model.model.modules() if isinstance(each, torch.nn.Dropout)]
    assert layers
    assert all(type(each) is BlockwiseDropout for each in layers)
    assert 0.3 in {each.p for each in layers}
