"""Reading of model files that have nothing unusual in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class NotPlainError(Exception):
    """A model's files have something that only sentence-transformers can read, or refuse."""


def require(plain: bool, what: str) -> None:
    """Raise NotPlainError, which names what is unusual, unless ``plain`` is true."""
    if not plain:
        raise NotPlainError(what)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    found = json.loads(path.read_text(encoding="utf-8"))
    require(isinstance(found, dict), f"{path.name}, which is not a JSON object")
    return dict(found)
