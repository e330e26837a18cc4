"""How a document is named: its id for tools, its URI as a resource, and its URL for citations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from rerank_search.errors import InvalidInputError
from rerank_search.serving.errors import ApiError
from rerank_search.shown import shown
from rerank_search.types import Document

URI_TEMPLATE = "rerank-search://{index}/{id}"
"""The URIs of documents as resources; both parts are percent-encoded."""

KEYS = ("url", "source")
"""The metadata keys that are looked at for a document's URL."""

_URL = re.compile(r"(?!javascript:|vbscript:|data:)[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
"""An address that an assistant may show as a link; scripts are none."""

_PLACE = re.compile(r"\{[^{}]*\}")


def public_id(index: str, id: str) -> str:
    """The id of a document among those of all indexes: the name of an index has no slash."""
    return f"{index}/{id}"


def parts_of(public: str) -> tuple[str, str]:
    """The index and the id in it of a ``public_id``. Raises ApiError 404."""
    index, slash, id = public.partition("/")
    if not slash or not id:
        raise ApiError(
            404,
            "not_found",
            f"{shown(public)} is not the id of a document: give one as search returns it, INDEX/ID",
        )
    return index, id


def resource_uri(index: str, id: str) -> str:
    """The URI of a document as a resource."""
    return URI_TEMPLATE.format(index=quote(index, safe=""), id=quote(id, safe=""))


@dataclass(frozen=True, slots=True)
class Links:
    """Where people find a document: the first of these that there is.

    The value of one of the metadata ``keys``, if it is a URL; the ``template``, in which {id} and
    {index} stand for the percent-encoded names; the document's URI as a resource. Raises
    InvalidInputError for a template that is no URL with {id}.
    """

    keys: tuple[str, ...] = KEYS
    template: str | None = None

    def __post_init__(self) -> None:
        if self.template is None:
            return
        places = set(_PLACE.findall(self.template))
        plain = _PLACE.sub("", self.template)
        if not _URL.fullmatch(_PLACE.sub("x", self.template)) or "{" in plain or "}" in plain:
            raise InvalidInputError(
                f"the URL template {shown(self.template)} is not a URL: give one such as "
                "https://docs.example/{id}"
            )
        if "{id}" not in places or places - {"{id}", "{index}"}:
            raise InvalidInputError(
                f"the URL template {shown(self.template)} must have the place {{id}}, and may "
                "have {index}: give one such as https://docs.example/{id}"
            )

    def url(self, index: str, document: Document) -> str:
        """The URL of a document, which is never empty."""
        for key in self.keys:
            value = document.metadata.get(key)
            if isinstance(value, str) and _URL.fullmatch(value):
                return value
        if self.template is None:
            return resource_uri(index, document.id)
        return self.template.replace("{index}", quote(index)).replace("{id}", quote(document.id))
