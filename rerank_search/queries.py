"""Checks of the arguments that every search has."""

from __future__ import annotations

from collections.abc import Iterable

from rerank_search.arguments import several, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown
from rerank_search.vectors import EncodedQuery


def checked_k(k: object) -> int:
    """``k`` as an int. Raises InvalidInputError unless it is a whole number of at least 1."""
    return whole_number("k", k)


def query_list(queries: Iterable[str]) -> list[str]:
    """The queries as a list. Raises InvalidInputError for one string, and for invalid texts."""
    return _texts("queries", queries, "query {}")


def text_list(texts: Iterable[str]) -> list[str]:
    """The texts as a list. Raises InvalidInputError for one string, and for invalid texts."""
    return _texts("texts", texts, "text {}")


def check_excluded(by: str, **options: object) -> None:
    """Raise InvalidInputError for the first option that is not None, because of ``by``."""
    for name, value in options.items():
        if value is not None:
            raise InvalidInputError(
                f"{by} and {name}={shown(value)} exclude each other: leave one of them out"
            )


def check_text(text: object, what: str) -> None:
    """Raise InvalidInputError about ``what`` unless ``text`` can be encoded as UTF-8."""
    if not isinstance(text, str):
        raise InvalidInputError(f"{what} is not a string: {shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{what} contains a lone surrogate at character {error.start}, which UTF-8 cannot "
            "encode: replace it, for example by text.encode(errors='replace').decode()"
        ) from error


def check_instruction(instruction: object) -> None:
    """Raise InvalidInputError for an instruction that is blank, or no encodable string."""
    check_text(instruction, "the instruction")
    if not str(instruction).strip():
        raise InvalidInputError(
            f"instruction={shown(instruction)} is blank: say what makes a text relevant, or leave "
            "it out for the model's own"
        )


def _texts(name: str, given: Iterable[str], what: str) -> list[str]:
    checked = []
    for position, text in enumerate(several(name, given, one=name)):
        check_text(text, what.format(position))
        # NumPy has its own class of strings.
        checked.append(text if isinstance(text, EncodedQuery) else str(text))
    return checked
