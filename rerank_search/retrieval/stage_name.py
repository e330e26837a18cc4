"""The name of a first stage, as a field of a pydantic model."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, WithJsonSchema

from rerank_search.retrieval.registry import BUILT_IN_NAMES, known_name

FirstStageName: TypeAlias = Annotated[
    str,
    AfterValidator(known_name),
    WithJsonSchema({"type": "string", "enum": list(BUILT_IN_NAMES)}),
]
"""A name that the registry knows; its JSON schema lists the built-in ones."""
