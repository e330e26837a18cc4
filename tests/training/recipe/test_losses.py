from __future__ import annotations

from pkgutil import resolve_name

import pytest
from torch import nn

from rerank_search.training.recipe.losses import LOSSES


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_made_by_a_torch_module(name: str) -> None:
    assert issubclass(resolve_name(LOSSES[name].made_by), nn.Module)
