"""The formats of files of documents, and the endings of file names that show them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from rerank_search.errors import InvalidInputError

Format: TypeAlias = Literal["jsonl", "csv", "tsv", "parquet"]
"""The formats that ``readers`` can read."""

NAMES: tuple[str, ...] = get_args(Format)

ENDINGS: Mapping[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
"""The format that each ending of a name shows; ``.gz`` may follow it."""


def format_of_name(path: Path) -> Format:
    """The format that the name of a file shows. Raises InvalidInputError if it shows none."""
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    if (known := ENDINGS.get(suffix.lower())) is None:
        raise InvalidInputError(
            f"{path}: the name does not show the format: give it (--format {'|'.join(NAMES)}; in "
            f"Python format=...), or rename the file to end in {', '.join(ENDINGS)}"
        )
    return known
