"""The JSON object in a line of JSONL, and errors for lines without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rerank_search.errors import InvalidDocumentError
from rerank_search.types import JsonValue


def json_object(
    text: str, *, parse_constant: Callable[[str], Any] | None = None
) -> dict[str, JsonValue]:
    """The JSON object in ``text``. Raises InvalidDocumentError with the reason alone.

    ``parse_constant`` as in ``json.loads``: it is called for NaN and the infinities.
    """
    try:
        record = json.loads(text, parse_constant=parse_constant)
    except json.JSONDecodeError as error:
        raise InvalidDocumentError(
            f"not JSON ({error.msg}, column {error.colno}); each line must be a JSON object"
        ) from error
    except ValueError as error:
        raise InvalidDocumentError(f"not usable JSON ({error})") from error
    except RecursionError as error:
        raise InvalidDocumentError("not usable JSON (nested too deeply)") from error
    if not isinstance(record, dict):
        raise InvalidDocumentError(f"not a JSON object but {json_kind(record)}")
    return record


def json_kind(value: JsonValue) -> str:
    """The kind of a value in words, such as "an object" or "null"."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
