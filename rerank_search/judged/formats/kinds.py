"""The format of a collection, detected from its path."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.judged.formats.lines import plain_or_gzipped
from rerank_search.judged.formats.pairs import files_of_pairs, layout_problem, text_columns
from rerank_search.judged.formats.tables import table_rows

Kind: TypeAlias = Literal["beir", "samples", "pairs"]

_KINDS = (
    "a BEIR folder (corpus.jsonl, queries.jsonl, qrels/), a folder or file of pairs (text1, text2, "
    "label), or a JSONL file of samples (query, positive, and documents or negative)"
)


def kind_of(path: Path) -> Kind:
    """The format of a collection, from the names in a folder or the first record of a file.

    A folder has pairs if any of its files has pairs; the other files are not checked unless one of
    them is the wanted split.

    Raises InvalidInputError for a path that does not exist or has none of the formats.
    """
    if not path.exists():
        raise InvalidInputError(f"{path} does not exist: give {_KINDS}")
    if not path.is_dir():
        return _kind_of_file(path)
    if (path / "qrels").is_dir():
        return "beir"
    for name in ("queries.jsonl", "corpus.jsonl", "corpus.toml"):
        if found := plain_or_gzipped(path / name):
            raise InvalidInputError(
                f"{path} has {found.name}, like a BEIR folder, but no folder qrels/: put its "
                "judgements into qrels/SPLIT.tsv (query-id, corpus-id, score)"
            )
    files = files_of_pairs(path)
    if not files:
        raise InvalidInputError(f"{path} has no collection in it: give {_KINDS}")
    samples: list[str] = []
    unusable: list[InvalidInputError | MissingDependencyError] = []
    for file in files:
        try:
            if _kind_of_file(file) == "pairs":
                return "pairs"
            samples.append(file.name)
        except (InvalidInputError, MissingDependencyError) as error:
            unusable.append(error)
    if samples:
        raise InvalidInputError(
            f"{path} is a folder of samples: give one of the files: {', '.join(samples)}"
        )
    raise unusable[0]


def _kind_of_file(path: Path) -> Literal["samples", "pairs"]:
    first = next(table_rows(path), None)
    if first is None:
        raise InvalidInputError(f"{path} is empty: give {_KINDS}")
    if {"query", "positive"} <= first.cells.keys():
        return "samples"
    if text_columns(first.cells) is None:
        raise InvalidInputError(
            f"{path}, {first.header}: these are neither samples (query, positive, and documents "
            f"or negative) nor pairs: {layout_problem(first.cells)}"
        )
    return "pairs"
