"""Types of fields in requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from rerank_search.serving.schemas.base import json_type


@pytest.mark.parametrize(
    ("kind", "taken", "refused"),
    [
        (int, 3, True),
        (int | None, None, "3.5"),
        (float, 0.5, False),
        (float | None, None, True),
        (bool, True, 1),
        (bool | None, None, "yes"),
        (str, "a", 1),
        (Literal["a", "b"] | None, "a", "c"),
        (Sequence[str], ["a"], "a"),
        (list[int] | None, [1], [True]),
        (Mapping[str, Any] | None, {"a": 1}, ["a"]),
    ],
)
def test_an_option_of_any_plain_type_is_a_field_that_checks_its_value(
    kind: Any, taken: object, refused: object
) -> None:
    field: TypeAdapter[object] = TypeAdapter(json_type(kind))
    assert field.validate_python(taken) == taken
    with pytest.raises(ValidationError):
        field.validate_python(refused)
