"""What the caller of one request may see and do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rerank_search.errors import IndexNotFoundError
from rerank_search.serving.errors import ApiError
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.keys import Key
from rerank_search.shown import shown

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext


@dataclass(frozen=True, slots=True)
class Access:
    """The rights of a key; without a key everything is allowed.

    There is no key over standard input and output, whose caller started the process.
    """

    key: Key | None = None

    @classmethod
    def of(cls, context: ServerRequestContext[Any, Any]) -> Access:
        """The rights of whoever sent a request."""
        request = context.request
        return cls() if request is None else cls(request.state.key)

    @property
    def may_write(self) -> bool:
        """Whether documents may be changed."""
        return self.key is None or self.key.scope == "write"

    def names(self, indexes: Indexes) -> list[str]:
        """The names of the indexes that may be searched."""
        return indexes.names()

    def check(self, indexes: Indexes, name: str) -> None:
        """Raise IndexNotFoundError unless the index exists and may be searched."""
        known = self.names(indexes)
        if name not in known:
            there = ", ".join(known) or "none"
            raise IndexNotFoundError(f"there is no index {shown(name)}; there are: {there}")

    def check_write(self) -> None:
        """Raise ApiError 403 unless documents may be changed."""
        if not self.may_write and self.key is not None:
            raise ApiError(
                403,
                "forbidden",
                f"the key {self.key.name!r} is for reading: use one made with --write",
            )
