"""The file in which mined groups are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rerank_search.files import atomic_file, make_folder
from rerank_search.judged.findings import Finding
from rerank_search.training.data.groups import Group


class MinedSettings(BaseModel):
    """The first line of a file of groups: its settings, and findings."""

    made_with: dict[str, Any]
    groups: int
    made_up: int
    findings: list[Finding]


class _Head(BaseModel):
    settings: MinedSettings


class MinedGroup(BaseModel):
    """A group: one of the other lines of the file. ``ids`` and ``labels`` begin with positives."""

    query: str
    positive: list[str]
    negative: list[str]
    labels: list[float] | None = None
    query_id: str
    ids: list[str]

    def group(self) -> Group:
        """The group, labelled 1 and 0 if it has no soft labels."""
        gold = [1.0] * len(self.positive) + [0.0] * len(self.negative)
        labels = gold if self.labels is None else self.labels
        return Group(self.query, self.positive + self.negative, labels)


@dataclass(frozen=True, slots=True)
class MinedGroups:
    """The content of a file of mined groups."""

    settings: MinedSettings
    lines: Sequence[MinedGroup]


def read_mined(file: Path, made_with: Mapping[str, Any]) -> MinedGroups | None:
    """The content of the file; None if it is missing, damaged, or made with other settings."""
    try:
        with file.open("rb") as lines:
            settings = _Head.model_validate_json(next(lines, b"")).settings
            if settings.made_with != made_with:
                return None
            mined = MinedGroups(settings, [MinedGroup.model_validate_json(line) for line in lines])
    except (FileNotFoundError, ValidationError):
        return None
    return mined if len(mined.lines) == settings.groups else None


def write_mined(file: Path, mined: MinedGroups) -> None:
    """Write the file atomically. Raises StorageFullError, IndexReadOnlyError."""
    make_folder(file.parent)
    with atomic_file(file) as temporary, temporary.open("w", encoding="utf-8") as lines:
        lines.write(_Head(settings=mined.settings).model_dump_json() + "\n")
        for line in mined.lines:
            lines.write(line.model_dump_json(exclude_none=True) + "\n")
