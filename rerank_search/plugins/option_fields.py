"""The search options as fields of pydantic models, which the objects of some frameworks are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, PlainValidator, ValidationInfo

from rerank_search.options import OPTIONS, TYPES, SearchOptions
from rerank_search.types import Filter


def _checked(value: Any, info: ValidationInfo) -> Any:
    """The value by the option's own rules: pydantic would take True for 1."""
    name = str(info.field_name)
    return OPTIONS[name].checked(name, TYPES[name], value)


_Checked = PlainValidator(_checked)


class OptionFields(BaseModel):
    """The fields of SearchOptions, with its defaults and its checks."""

    top_k: Annotated[int, _Checked] = SearchOptions.top_k
    candidates: Annotated[int, _Checked] = SearchOptions.candidates
    first_stage: Annotated[str | None, _Checked] = None
    filter: Annotated[Filter | None, _Checked] = None
    query_vector: Annotated[Sequence[float] | None, _Checked] = None
    rerank: Annotated[bool, _Checked] = True
    budget_ms: Annotated[float | None, _Checked] = None
    min_relevance: Annotated[float | None, _Checked] = None
    passages_per_document: Annotated[int, _Checked] = SearchOptions.passages_per_document
    collapse_duplicates: Annotated[bool, _Checked] = False
    instruction: Annotated[str | None, _Checked] = None

    @property
    def search_options(self) -> SearchOptions:
        """The fields together. Raises InvalidInputError for options that exclude each other."""
        return SearchOptions(**{name: getattr(self, name) for name in OPTIONS})
