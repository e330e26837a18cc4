"""The kinds of bodies, and the types of fields that several of them have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import GenericAlias, UnionType
from typing import Annotated, Any, ClassVar, TypeVar, Union, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    GetCoreSchemaHandler,
    StrictBool,
    StrictFloat,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema

from rerank_search.arguments import document_id
from rerank_search.declared import did_you_mean
from rerank_search.serving.ignored import ignores

Item = TypeVar("Item")


class OwnRequest(BaseModel):
    """A request of our own API. An unknown field is an error; only the first one is named."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_field(cls, data: Any) -> Any:
        known = cls.model_fields
        unknown = (name for name in data if name not in known) if isinstance(data, dict) else ()
        if (name := next(iter(unknown), None)) is not None:
            raise ValueError(f"{name!r:.100} is unknown{did_you_mean(str(name), list(known))}")
        return data


class ForeignRequest(BaseModel):
    """A request of an API that others define.

    Clients of these APIs send fields that this server does not have. A field that would change
    the answer is an error, unless the server is lenient; null is the same as no field.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    without_effect: ClassVar[frozenset[str]] = frozenset({"user", "priority", "request_id"})
    """Fields that are accepted and not used: they never change an answer."""

    @model_validator(mode="before")
    @classmethod
    def _no_unsupported_field(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = cls.model_fields.keys() | cls.without_effect
        for name, value in data.items():
            if value is not None and name not in known and not ignores(str(name)):
                raise ValueError(f"{name!r:.100} is not supported: leave it out")
        return data


class Answer(BaseModel):
    """The body of an answer."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class _FirstInvalidItem(FailFast):
    """FailFast with a hash, which Python needs for a part of a union."""

    __hash__ = object.__hash__


Listed = Annotated[list[Item], _FirstInvalidItem()]
"""A list whose validation stops at the first invalid item."""


@dataclass(frozen=True, slots=True)
class InWords:
    """What a field of several types can be, for the message about another value.

    Without it a client reads an error for one of the types, after a name such as ``query.str``.
    """

    kinds: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema: Any = handler(source)
        schema["custom_error_type"] = "several_types"
        schema["custom_error_message"] = f"Input should be {self.kinds}"
        return cast(CoreSchema, schema)


def tag(name: str) -> str:
    """The tag of a model that a field or a body may be, for pydantic's ``Tag``.

    Pydantic puts it before the name of each field of that model. ``is_tag`` tells it from a field.
    """
    return f"<{name}>"


def is_tag(part: str) -> bool:
    """Whether this part of the place of an error is a ``tag``."""
    return part.startswith("<")


OneOrMany = Annotated[str | Listed[str], InWords("a string, or a list of strings")]
"""A text or several."""

Id = Annotated[
    str,
    BeforeValidator(document_id),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}),
]
"""The id of a document; an integer becomes its digits, as in files."""


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not true or false")
    return value


Count = Annotated[int, BeforeValidator(_not_bool)]
Number = Annotated[float, BeforeValidator(_not_bool)]

Vector = Listed[StrictFloat]
"""The numbers of a vector; strings of digits are not numbers."""

_STRICT: Mapping[Any, Any] = {int: Count, float: Number, bool: StrictBool}


def json_type(kind: Any) -> Any:
    """The type in a request of a Python type: numbers and bools are not taken for each other."""
    if kind == Sequence[float]:
        return Vector
    origin, parts = get_origin(kind), tuple(map(json_type, get_args(kind)))
    if origin in (Union, UnionType):
        return Union[parts]  # noqa: UP007 (of a tuple)
    if origin in (list, Sequence):
        return Listed[parts[0]]  # type: ignore[valid-type]
    if origin is Mapping:
        return GenericAlias(dict, parts)
    return _STRICT.get(kind, kind)


def one_of(*choices: tuple[str, ...]) -> dict[str, Any]:
    """JSON schema in which exactly one of these sets of fields is given; the others may be null."""
    every = {name for choice in choices for name in choice}
    return {
        "oneOf": [
            {
                "required": list(choice),
                "properties": {
                    name: {"not": {"type": "null"}} if name in choice else {"type": "null"}
                    for name in sorted(every)
                },
            }
            for choice in choices
        ]
    }
