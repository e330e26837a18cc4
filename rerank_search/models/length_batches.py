"""Texts in batches of similar length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

CHARACTERS_PER_TOKEN = 3
"""Fewest characters per token in nearly all texts, so that batches are too small, not too large."""


def batches_by_length(
    lengths: Sequence[int], budget: int, *, window: int | None
) -> Iterator[list[int]]:
    """Positions of texts of similar length, longest first, of about ``budget`` tokens a batch.

    ``lengths`` are in characters. The model reads at most ``window`` tokens of a text.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        longest = lengths[order[start]] // CHARACTERS_PER_TOKEN + 2
        if window is not None:
            longest = min(window, longest)
        size = max(1, budget // longest)
        yield order[start : start + size]
        start += size
