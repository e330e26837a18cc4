"""Which of several vectors a store searches."""

from __future__ import annotations

from collections.abc import Collection

from rerank_search.errors import StoreMismatchError
from rerank_search.shown import shown
from rerank_search.stores.url import StoreUrl


def chosen_vector(
    url: StoreUrl, there: Collection[str], *, wanted: str | None, usual: str
) -> str | None:
    """The name of the vector that the option ``vector`` names, else the usual or only one.

    None if there is none. Raises StoreMismatchError if the option names none of them, and if there
    are several and none is named.
    """
    if wanted is None and usual in there:
        return usual
    if wanted is None and len(there) < 2:
        return next(iter(there), None)
    if wanted not in there:
        missing = "several vectors" if wanted is None else f"no vector {shown(wanted)}"
        raise StoreMismatchError(
            f"{url} has {missing}: name one in the URL, as in ?vector=NAME; there are "
            f"{', '.join(map(repr, there)) or 'none'}"
        )
    return wanted
