"""The one total order of this package: score descending, then document id ascending."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import TypeVar

Key = TypeVar("Key", str, int)
Item = TypeVar("Item")


def ranked(scored: Iterable[tuple[Key, float, Item]]) -> list[tuple[Key, float, Item]]:
    """Sort (document id, score, anything) by score descending, then by id ascending.

    Ids are compared by code point. Texts of a list are ranked by their positions as numbers: as ids
    they would be in the order 1, 10, 2. The order of ties in an engine is never relied on.
    """
    by_id = sorted(scored, key=itemgetter(0))
    # A reversed sort is stable too, so equal scores stay in the order of their ids.
    return sorted(by_id, key=itemgetter(1), reverse=True)
