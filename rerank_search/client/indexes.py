"""Calls about indexes: list them, make one, drop one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from rerank_search.arguments import several
from rerank_search.client.call import Call, as_json, path_of_index
from rerank_search.types import HybridName, VectorDtype


@dataclass(frozen=True, slots=True)
class ServedIndex:
    """An index of a server, or a store that it serves, and what it holds.

    ``languages`` counts documents of a sample by the ISO 639-1 code of their language.
    ``fused_stages`` are the first stages whose scores a fusion weighs. ``stop_words`` and
    ``hybrid`` are as in ``Index.create``; None also if the server is too old to tell. ``store`` is
    the kind of a store, such as "postgresql"; ``analyzer`` and ``created`` are None for one.
    """

    name: str
    documents: int
    passages: int
    first_stages: tuple[str, ...]
    encoder: str | None
    analyzer: str | None
    created: datetime | None
    fused_stages: tuple[str, ...]
    languages: Mapping[str, int] = field(default_factory=dict)
    stop_words: str | tuple[str, ...] | None = None
    hybrid: str | None = None
    store: str | None = None


def indexes() -> Call[list[ServedIndex]]:
    """List the indexes."""
    return Call("GET", "/v1/indexes", lambda answer: [_index(each) for each in answer["indexes"]])


class VectorSettings(TypedDict, total=False):
    """Further arguments of ``Index.create``, which earlier servers do not know."""

    dimension: int | None
    query_prompt: str | None
    document_prompt: str | None
    truncate_dim: int | None
    sparse_encoder: str | None
    vector_dtype: VectorDtype
    stop_words: Literal["language"] | list[str] | None
    hybrid: HybridName


def creation(
    name: str,
    *,
    encoder: str | None,
    analyzer: str,
    first_stages: Sequence[str],
    **vectors: Unpack[VectorSettings],
) -> Call[ServedIndex]:
    """Make an index. Raises InvalidInputError."""
    settings: dict[str, object] = {"encoder": encoder, "analyzer": analyzer, **vectors}
    if further := list(several("first_stages", first_stages, one="names")):
        settings["first_stages"] = further  # earlier servers do not know this field
    body = as_json(settings)
    # If the answer were lost, a second request would be answered with IndexExistsError.
    return Call("PUT", path_of_index(name), _index, body, repeatable=False)


def dropping(name: str) -> Call[None]:
    """Delete an index. Raises InvalidInputError."""
    # If the answer were lost, a second request would be answered with IndexNotFoundError.
    return Call("POST", f"{path_of_index(name)}/drop", _dropped, repeatable=False)


def _dropped(answer: Any) -> None:
    answer["dropped"]


def _index(answer: Any) -> ServedIndex:
    words, created = answer.get("stop_words"), answer.get("created")
    return ServedIndex(
        name=answer["name"],
        documents=answer["documents"],
        passages=answer["passages"],
        first_stages=tuple(answer["first_stages"]),
        encoder=answer.get("encoder"),
        analyzer=answer.get("analyzer"),
        created=None if created is None else datetime.fromisoformat(created),
        fused_stages=tuple(answer.get("fused_stages", answer["first_stages"])),
        languages=answer.get("languages", {}),  # which earlier servers do not send
        stop_words=tuple(words) if isinstance(words, list) else words,
        hybrid=answer.get("hybrid"),
        store=answer.get("store"),
    )
