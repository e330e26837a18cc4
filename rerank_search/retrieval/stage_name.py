"""The name of a first stage, as a field of a pydantic model."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from rerank_search.retrieval.registry import known_name, names


class _Listed:
    """Lists the names in a JSON schema, which is made when every package can be looked up."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "enum": list(names())}


FirstStageName: TypeAlias = Annotated[str, AfterValidator(known_name), _Listed()]
"""A name that the registry knows; its JSON schema lists those that there are."""
