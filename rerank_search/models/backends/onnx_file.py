"""A model's graph and weights as an ONNX file, made once and kept in the cache."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rerank_search.errors import InvalidInputError
from rerank_search.files import (
    atomic_file,
    atomic_write_json,
    check_writable,
    disk_errors,
    sha256,
)
from rerank_search.models.backends.deadline import (
    NEVER,
    WAIT,
    Deadline,
    OutOfTimeError,
    one_process,
)
from rerank_search.models.backends.exportable import Exportable

logger = logging.getLogger(__name__)

LAYOUT = 3
"""Version of Exportable's graph and of the checks of an export; older files are not used."""

_OPSET = 17
_MOST_BYTES = 2**31 - 2**24
"""Most bytes of weights in a file; the graph takes some of the format's 2 GiB."""


def onnx_file(
    model: Exportable,
    weights: str,
    cache: Path,
    checking: Callable[[], Callable[[Path], None]],
    deadline: Deadline = NEVER,
) -> Path:
    """The model's file in ``cache``, exported now if it is not there yet.

    ``weights`` is the fingerprint of the files that the model was loaded from. A damaged file, or
    one with other weights, is made again. ``checking`` is called before the export, which may
    change the model; the function that it returns is called with the new file, which is not kept if
    that raises. Processes that need the same file wait for the one that makes it. A bar shows the
    progress if the standard error is a terminal.
    Raises InvalidInputError for a model above 2 GiB, StorageFullError and such, and OutOfTimeError
    if the deadline is too near.
    """
    path = cache / "exports" / f"{weights}-{LAYOUT}.onnx"
    if _is_whole(path, weights):
        return path
    size = sum(4 * each.numel() for each in model.parameters())
    if size > _MOST_BYTES:
        raise InvalidInputError(
            "the model has more than 2 GiB of weights, the most that an ONNX file can hold: use "
            "backend='torch'"
        )
    deadline.check(deadline.export)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with one_process(path, "exporting this model", min(WAIT, deadline.left)) as held:
            if not _is_whole(path, weights):
                _make(path, model, weights, size, checking, deadline, alone=held)
    except OutOfTimeError:
        deadline.check()
        _make(path, model, weights, size, checking, deadline, alone=False)
    return path


def _make(
    path: Path,
    model: Exportable,
    weights: str,
    size: int,
    checking: Callable[[], Callable[[Path], None]],
    deadline: Deadline,
    *,
    alone: bool,
) -> None:
    check_writable(path.parent)
    with disk_errors(path):
        if shutil.disk_usage(path.parent).free < size:  # before the work of an export
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    logger.info("exporting the model to %s", path)
    if alone:  # else another process may be writing one of these
        for left in path.parent.glob(f".{path.name}.*.tmp"):  # left by a killed process
            left.unlink(missing_ok=True)
    with _steps(4) as step:
        check = checking()
        step()
        deadline.check()
        with atomic_file(path) as temporary:
            _export(model, temporary)
            step()
            deadline.check()
            check(temporary)
            step()
        atomic_write_json(_note(path), {"weights": weights, "sha256": sha256(path)})
        step()


@contextmanager
def _steps(count: int) -> Iterator[Callable[[], Any]]:
    """Count the steps of an export in a bar on the standard error, if that is a terminal."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    with tqdm(
        desc="exporting the model", total=count, leave=False, disable=None, mininterval=0
    ) as bar:
        yield bar.update


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _is_whole(path: Path, weights: str) -> bool:
    """Whether the file exists, is undamaged, and has these weights."""
    try:
        noted = json.loads(_note(path).read_bytes())
        return bool(noted == {"weights": weights, "sha256": sha256(path)})
    except (OSError, ValueError):
        return False


def _export(model: Exportable, path: Path) -> None:
    # All sizes above 1 and different: an export may take a size of 1 or a repeated one as constant.
    example = torch.arange(2 * 7).view(2, 7) % 5 + 1
    inputs = {"input_ids": example, "token_type_ids": torch.zeros_like(example)}
    inputs["attention_mask"] = torch.ones_like(example)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about values that tracing keeps as constants
        torch.onnx.export(
            model,
            tuple(inputs[name] for name in model.names),
            str(path),
            input_names=model.names,
            output_names=["features"],
            dynamic_axes={name: {0: "pairs", 1: "tokens"} for name in model.names},
            opset_version=_OPSET,
            dynamo=False,  # the new exporter needs onnxscript, and has no advantage here
        )
