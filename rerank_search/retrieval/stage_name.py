"""The names of first stages, as fields of pydantic models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from rerank_search.built_in_stages import TEXT
from rerank_search.retrieval.registry import known_name, names, searched_name


@dataclass(frozen=True, slots=True)
class _Listed:
    """Lists the names in a JSON schema, which is made when every package can be looked up."""

    further: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "enum": [*names(), *self.further]}


SearchedStageName: TypeAlias = Annotated[str, AfterValidator(searched_name), _Listed((TEXT,))]
"""A name that an index or a store can be searched by; its JSON schema lists those that there are.
"""

FirstStageName: TypeAlias = Annotated[str, AfterValidator(known_name), _Listed()]
"""A name that the registry knows; its JSON schema lists those that there are."""
