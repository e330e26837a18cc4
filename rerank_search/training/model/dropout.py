"""Dropout on a CPU, with random numbers drawn in blocks.

torch draws them one by one, which takes longer than most other steps of a layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

_VALUES = 2**16
"""Number of values of a random number of 16 bits, which decides on each activation."""


class BlockwiseDropout(torch.nn.Dropout):
    """Sets a share ``p`` of the values to 0 in training and scales up the others, as torch does.

    Its seeds come from torch's own generator, whose state is in checkpoints.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The values that were kept, scaled; all values outside of training."""
        if not self.training or self.p == 0:
            return input
        seed = int(torch.randint(2**62, ()))
        numbers = np.random.SFC64(seed).random_raw(-(-input.numel() // 4)).view(np.uint16)
        kept = torch.from_numpy(numbers[: input.numel()] >= round(self.p * _VALUES))
        return input * kept.view(input.shape).to(input.dtype).mul_(1 / (1 - self.p))


def use_blockwise_dropout(network: Any) -> None:
    """Replace the dropout layers of a model on a CPU by ones that draw in blocks."""
    if network.device.type != "cpu":
        return
    for layer in network.modules():
        if type(layer) is torch.nn.Dropout:
            layer.__class__ = BlockwiseDropout
