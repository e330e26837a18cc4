"""The names of models as the API shows them."""

from __future__ import annotations

from pathlib import Path


def public_name(model: str) -> str:
    """The name that the API shows for a model: of a folder only the last part."""
    path = Path(model)
    return path.resolve().name if path.is_absolute() or path.is_dir() else model
