"""Complete checkpoints: a run may be killed at any moment and resumes from the last one."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentence_transformers.cross_encoder import CrossEncoderTrainer
from transformers import TrainerState
from transformers.trainer_utils import rotate_checkpoints

from rerank_search.errors import InvalidInputError, RerankSearchError, RunLockedError
from rerank_search.files import atomic_write_json, disk_errors, fsync_tree, make_folder
from rerank_search.lock import ProcessLock
from rerank_search.training.run.batches import ByLengthBatchSampler

_WHOLE = "whole.json"
"""The last file of a checkpoint: the sizes of its files, and the seconds of training so far."""

_STATE = "trainer_state.json"
_RECIPE = "recipe.json"
_ENDED = "ended.json"
_LOCK = "lock"


class CheckpointedTrainer(CrossEncoderTrainer):
    """A CrossEncoderTrainer that marks each checkpoint once it is complete.

    Older ones are removed only then, so there is always one to continue from. ``by_length`` makes
    batches of rows of similar length.
    """

    _seconds = 0.0
    """Seconds of training before ``_since``."""
    _since: float | None = None

    def __init__(self, *, by_length: bool, **options: Any) -> None:
        super().__init__(**options)
        self._by_length = by_length

    def get_batch_sampler(self, dataset: Any, *args: Any, **options: Any) -> Any:
        """A sampler of batches by length, or the one of CrossEncoderTrainer."""
        if self._by_length:
            tokenizer = self.model.tokenizer
            return ByLengthBatchSampler(dataset, *args, tokenizer=tokenizer, **options)
        return super().get_batch_sampler(dataset, *args, **options)

    @property
    def seconds(self) -> float:
        """The training time in all sessions."""
        return self._seconds + (0.0 if self._since is None else time.monotonic() - self._since)

    def run(self, folder: Path, checkpoint: Path | None) -> None:
        """Train to the end, from ``checkpoint`` if there is one; return at once if it is the end.

        The model is then the best one by the measure that decides, or the last one without it.
        """
        if checkpoint is not None:
            self._seconds = float(_read(checkpoint / _WHOLE)["seconds"])
            _move_best(folder, checkpoint)
            ended = _read(folder / _ENDED)
            if ended.get("checkpoint") == checkpoint.name:
                self._seconds = float(ended["seconds"])
                self.state = TrainerState.load_from_json(str(checkpoint / _STATE))
                self._load_from_checkpoint(self.state.best_model_checkpoint or str(checkpoint))
                return
        self._since = time.monotonic()
        self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        self._seconds, self._since = self.seconds, None
        if self.args.should_save:
            last = f"checkpoint-{self.state.global_step}"
            ended = {"checkpoint": last, "seconds": self._seconds}
            atomic_write_json(folder / _ENDED, ended)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        limit = self.args.save_total_limit
        self.args.save_total_limit = None  # remove older ones only when this one is complete
        folder = Path(str(self.args.output_dir))
        try:
            with saving(folder):
                super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()  # each process writes its random state
        if not self.args.should_save:
            return
        checkpoint = folder / f"checkpoint-{self.state.global_step}"
        with saving(folder):
            fsync_tree(checkpoint)
        whole = {"sizes": _sizes(checkpoint), "seconds": round(self.seconds, 1)}
        atomic_write_json(checkpoint / _WHOLE, whole)
        rotate_checkpoints(
            output_dir=str(folder),
            save_total_limit=limit,
            best_model_checkpoint=self.state.best_model_checkpoint,
            use_mtime=True,
        )


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """``disk_errors`` that also understands the errors of other libraries."""
    with disk_errors(path):
        try:
            yield
        except (OSError, RerankSearchError):
            raise
        except Exception as error:  # the class that tokenizers raises
            if (number := _number(error)) is not None:
                raise OSError(number, str(error)) from error
            raise


def _number(error: Exception) -> int | None:
    """The operating system's error number in another library's error message."""
    if number := re.search(r"os error (\d+)", str(error)):  # safetensors and tokenizers
        return int(number[1])
    if "file write failed" in str(error) or "unexpected pos" in str(error):  # torch
        return errno.ENOSPC
    return None


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Make the folder of checkpoints, and lock it for this process.

    The system frees the lock of a process that was killed. Raises RunLockedError.
    """
    lock = ProcessLock(folder / _LOCK)
    make_folder(folder)
    with disk_errors(folder):
        if not lock.acquire(0.0):
            raise RunLockedError(
                f"{lock.holder() or 'another process'} is training into {folder}: wait for it, or "
                "give the recipe another output"
            )
    try:
        yield
    finally:
        lock.release()


def claim(folder: Path, made_with: Mapping[str, Any]) -> None:
    """Reserve the folder of checkpoints for a run of this recipe, on these data and this base.

    Paths are compared relative to the folder. Raises InvalidInputError for checkpoints of another
    run: continuing from them would give a model that neither recipe describes.
    """
    path = folder / _RECIPE
    ours = _portable(made_with, folder)
    before = _read(path)
    changed = [key for key in ours if before.get(key) != ours[key]]
    if not any(_checkpoints(folder)):
        (folder / _ENDED).unlink(missing_ok=True)
    elif changed:
        difference = f"it differs in {', '.join(changed)}" if before else f"it has no {_RECIPE}"
        raise InvalidInputError(
            f"{folder} has checkpoints of another run ({difference}): remove that folder to train "
            "from the beginning, or give the recipe another output"
        )
    if changed:  # without a change, do not fail on a full disk
        atomic_write_json(path, ours)


def last_whole(folder: Path) -> Path | None:
    """The newest complete checkpoint; incomplete ones are removed."""
    whole: list[tuple[int, Path]] = []
    for checkpoint in list(_checkpoints(folder)):
        if _is_whole(checkpoint):
            whole.append((int(checkpoint.name.rpartition("-")[2]), checkpoint))
        else:
            shutil.rmtree(checkpoint)
    return max(whole)[1] if whole else None


def _checkpoints(folder: Path) -> Iterator[Path]:
    for path in folder.glob("checkpoint-*"):
        if path.is_dir() and path.name.rpartition("-")[2].isdecimal():
            yield path


def _is_whole(checkpoint: Path) -> bool:
    return bool(_read(checkpoint / _STATE)) and (
        _read(checkpoint / _WHOLE).get("sizes") == _sizes(checkpoint)
    )


def _sizes(checkpoint: Path) -> dict[str, int]:
    return {
        path.relative_to(checkpoint).as_posix(): path.stat().st_size
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name not in (_WHOLE, _STATE)
    }


def _move_best(folder: Path, checkpoint: Path) -> None:
    """Update the path of the best checkpoint, because runs may be moved with their recipes."""
    state = _read(checkpoint / _STATE)
    best = state.get("best_model_checkpoint")
    if not best:
        return
    here = folder / Path(best).name
    if not _is_whole(here):
        raise InvalidInputError(
            f"{here}, the best checkpoint of this run, is missing or damaged: remove {folder} to "
            "train from the beginning"
        )
    if best != str(here):
        atomic_write_json(checkpoint / _STATE, state | {"best_model_checkpoint": str(here)})


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if the file is missing or damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _portable(value: Any, folder: Path) -> Any:
    """The value for JSON, with paths relative to ``folder``."""
    if isinstance(value, Mapping):
        return {str(key): _portable(each, folder) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_portable(each, folder) for each in value]
    if isinstance(value, Path) or (isinstance(value, str) and Path(value).is_absolute()):
        return Path(os.path.relpath(value, folder)).as_posix()
    return value
