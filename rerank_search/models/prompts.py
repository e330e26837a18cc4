"""The prompts that an encoder was trained to have before queries and before documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from rerank_search.arguments import string
from rerank_search.queries import check_text

Task: TypeAlias = Literal["query", "document"]

DOCUMENT_NAMES = ("document", "passage", "corpus")
"""Names of the prompt for documents in models, first choice first."""


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
    """The prompts for queries and for documents among all named prompts of a model.

    sentence-transformers gives each model an empty prompt "document", which hides a "passage" that
    its makers saved; so the first prompt that is not empty is used.
    """
    named = [saved.get(name) for name in DOCUMENT_NAMES]
    document = next((prompt for prompt in named if prompt), "")
    return Prompts(query=saved.get("query") or "", document=document)


def checked_prompt(name: str, given: str | None) -> str | None:
    """A prompt given by hand, or None. Raises InvalidInputError unless UTF-8 can encode it."""
    if given is not None:
        check_text(string(name, given), name)
    return given


def without_use(saved: Mapping[str, str | None]) -> list[str]:
    """Names of a model's prompts if none of them is for queries or documents, else nothing."""
    return [] if chosen(saved) != Prompts() else [name for name, text in saved.items() if text]


def tells_tasks_apart(directory: Path) -> bool:
    """Whether a saved encoder has prompts, or separate modules for queries or documents.

    Otherwise the vector of a text is the same for a query and a document. The model is not loaded.
    """
    settings = _read(directory / "config_sentence_transformers.json")
    prompts = settings.get("prompts") if isinstance(settings, dict) else None
    modules = _read(directory / "modules.json")
    types = [each.get("type") for each in modules if isinstance(each, dict)]
    routed = any(str(each).rpartition(".")[2] in ("Router", "Asym") for each in types)
    return routed or (isinstance(prompts, dict) and any(prompts.values()))


def _read(path: Path) -> dict[str, object] | list[object]:
    """The content of a model's JSON file; empty if the file is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    return content if isinstance(content, (dict, list)) else []
