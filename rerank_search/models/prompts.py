"""What an encoder puts before queries and before documents: its makers trained it with that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

Task: TypeAlias = Literal["query", "document"]

DOCUMENT_NAMES = ("document", "passage", "corpus")
"""Names that models have for the prompt of a document, the first choice first."""


class Prompts(BaseModel):
    """The prompts of an encoder. An empty one puts nothing before a text."""

    model_config = ConfigDict(frozen=True, strict=True)

    query: str = ""
    document: str = ""

    def of(self, task: Task) -> str:
        """The prompt for texts of that kind."""
        return self.query if task == "query" else self.document

    def __str__(self) -> str:
        return f"{self.query!r} before queries and {self.document!r} before documents"


def chosen(saved: Mapping[str, str | None]) -> Prompts:
    """The prompts of a query and of a document among all that a model has by name.

    sentence-transformers gives each model an empty prompt "document", which hides a "passage" that
    its makers have saved; so the first that is not empty is taken.
    """
    named = [saved.get(name) for name in DOCUMENT_NAMES]
    document = next((prompt for prompt in named if prompt), "")
    return Prompts(query=saved.get("query") or "", document=document)


def without_use(saved: Mapping[str, str | None]) -> list[str]:
    """Names of a model's prompts, where it has some but none for queries or documents."""
    return [] if chosen(saved) != Prompts() else [name for name, text in saved.items() if text]


def tells_tasks_apart(directory: Path) -> bool:
    """Whether a saved encoder has prompts, or modules of its own for queries or documents.

    Vectors of any other model do not depend on what a text is. Known without loading the model.
    """
    settings = _read(directory / "config_sentence_transformers.json")
    prompts = settings.get("prompts") if isinstance(settings, dict) else None
    modules = _read(directory / "modules.json")
    types = [each.get("type") for each in modules if isinstance(each, dict)]
    routed = any(str(each).rpartition(".")[2] in ("Router", "Asym") for each in types)
    return routed or (isinstance(prompts, dict) and any(prompts.values()))


def _read(path: Path) -> dict[str, object] | list[object]:
    """What a JSON file of a model holds; nothing for a file that is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    return content if isinstance(content, (dict, list)) else []
