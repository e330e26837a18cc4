"""Names of collections, runs and rerankers, which become names of files and tags of runs."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from rerank_search.errors import InvalidInputError

_LONGEST_NAME = 100
"""Largest size in bytes: two names, a depth and a protocol fit into a file name of 255 bytes."""


def checked_name(name: str, *, spaces: bool = False, longest: int = _LONGEST_NAME) -> str:
    """``name``, if files and the tags in run files can have it. Raises InvalidInputError.

    ``spaces`` allows blanks, which a tag cannot have; ``longest`` is in bytes.
    """
    size = len(name.encode(errors="replace"))
    problems = {
        "is empty": not name,
        "means a folder": name in (".", ".."),
        "contains a slash": "/" in name or "\\" in name,
        "contains white space": not spaces and any(character.isspace() for character in name),
        "contains a character that cannot be printed": not name.isprintable(),
        f"has {size} bytes, more than {longest}": size > longest,
    }
    for problem, applies in problems.items():
        if applies:
            raise InvalidInputError(
                f"the name {name!r:.120} {problem}, so it cannot be the name of a file: give "
                "another name"
            )
    return name


def name_of(text: str) -> str:
    """A name made from the name of a file or folder: "my notes" gives "my-notes".

    Raises InvalidInputError as ``checked_name`` does.
    """
    return checked_name("-".join(text.split()))


Name: TypeAlias = Annotated[str, AfterValidator(checked_name)]
"""A name that was checked, for the fields of settings."""
