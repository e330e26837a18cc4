"""The finished cells of an experiment, in its output folder: computed once, then read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from rerank_search.evaluation.cell import run_files
from rerank_search.evaluation.results import (
    Cell,
    PairCell,
)
from rerank_search.files import atomic_write_bytes, disk_errors, make_folder
from rerank_search.judged.collection import JudgedCollection

if TYPE_CHECKING:
    pass

Result = TypeVar("Result", Cell, PairCell)


def prepare_output(output: Path) -> None:
    """Make the folder, and remove the temporary files of processes that were killed."""
    cells, runs = output / "cells", output / "runs"
    make_folder(cells)
    with disk_errors(output):
        for unpublished in (*cells.glob(".*.tmp"), *runs.glob("*/*/.*.tmp")):
            process = unpublished.name.split(".")[-2]
            if process.isdecimal() and not _is_running(int(process)):
                unpublished.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name == "nt":
        return True  # asking would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # the process belongs to another user
    return True


def is_whole(cell: Cell, collection: JudgedCollection, runs: Path | None) -> bool:
    """Whether a stored cell has figures of each query, and its run files are unchanged."""
    n = len(collection.qrels)
    lists = [values for of_protocol in cell.values.values() for values in of_protocol.values()]
    return bool(
        list(cell.queries) == list(collection.qrels)
        and all(len(values) == n for values in (*lists, *cell.top.values()))
        and (runs is None or (cell.run_files and cell.run_files == run_files(runs, cell.system)))
    )


def digest(*parts: Any) -> str:
    """A hash of the parts, which JSON can express, as 32 hex digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def stored(
    output: Path,
    key: str,
    kind: type[Result],
    compute: Callable[[], Result],
    whole: Callable[[Result], bool] = lambda _: True,
) -> Result:
    """The result in the file of that key, or computed now and stored there."""
    adapter = TypeAdapter(kind)
    path = output / "cells" / f"{key}.json"
    with disk_errors(path), suppress(ValidationError):
        # Cells in damaged files, or written by another version, are computed again.
        if path.exists() and whole(found := adapter.validate_json(path.read_bytes())):
            return found
    result = compute()
    atomic_write_bytes(path, adapter.dump_json(result))
    return result
