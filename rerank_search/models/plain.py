"""Reading a model's files only where nothing in them is unusual."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class NotPlainError(Exception):
    """Something in a model's files is for sentence-transformers to read, or to refuse."""


def require(plain: bool, what: str) -> None:
    """Raise NotPlainError, which names what is unusual, unless it is plain."""
    if not plain:
        raise NotPlainError(what)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file."""
    found = json.loads(path.read_text(encoding="utf-8"))
    require(isinstance(found, dict), f"{path.name} is not an object")
    return dict(found)
