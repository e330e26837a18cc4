"""Dropout on a CPU, with random numbers that are drawn by the block.

torch draws them one by one there, which takes longer than most of a layer's other steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

_VALUES = 2**16
"""A number of 16 bits decides on each value, so that p is kept to 1 in 65,536."""


class BlockwiseDropout(torch.nn.Dropout):
    """Zeroes a share ``p`` of the values in training and scales the others up, as torch does.

    Its seeds are drawn from torch's own generator, whose state checkpoints keep.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The values that were kept, scaled; all of them outside of training."""
        if not self.training or self.p == 0:
            return input
        seed = int(torch.randint(2**62, ()))
        numbers = np.random.SFC64(seed).random_raw(-(-input.numel() // 4)).view(np.uint16)
        kept = torch.from_numpy(numbers[: input.numel()] >= round(self.p * _VALUES))
        return input * kept.view(input.shape).to(input.dtype).mul_(1 / (1 - self.p))


def use_blockwise_dropout(network: Any) -> None:
    """Have all dropout layers of a model on a CPU draw by the block."""
    if network.device.type != "cpu":
        return
    for layer in network.modules():
        if type(layer) is torch.nn.Dropout:
            layer.__class__ = BlockwiseDropout
