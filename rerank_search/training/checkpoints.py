"""Checkpoints that are whole: a run can be killed at any moment and goes on from the last one."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from sentence_transformers.cross_encoder import CrossEncoderTrainer
from transformers.trainer_utils import rotate_checkpoints

from rerank_search.errors import InvalidInputError
from rerank_search.files import atomic_write_json, disk_errors

_WHOLE = "whole.json"
"""Written into a checkpoint last, with the sizes of its files."""

_RECIPE = "recipe.json"


class CheckpointedTrainer(CrossEncoderTrainer):
    """A CrossEncoderTrainer that says of each checkpoint that it is whole.

    Only then are older ones removed, so that there is always one to go on from.
    """

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        limit = self.args.save_total_limit
        self.args.save_total_limit = None  # older ones go when this one is whole
        folder = Path(str(self.args.output_dir))
        try:
            with saving(folder):
                super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        if not self.args.should_save:
            return
        checkpoint = folder / f"checkpoint-{self.state.global_step}"
        atomic_write_json(checkpoint / _WHOLE, _sizes(checkpoint))
        rotate_checkpoints(
            output_dir=str(folder),
            save_total_limit=limit,
            best_model_checkpoint=self.state.best_model_checkpoint,
            use_mtime=True,
        )


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """``disk_errors``, for what safetensors and torch say in errors of their own too."""
    with disk_errors(path):
        try:
            yield
        except SafetensorError as error:
            if number := re.search(r"os error (\d+)", str(error)):
                raise OSError(int(number[1]), str(error)) from error
            raise
        except RuntimeError as error:
            if "file write failed" in str(error):
                raise OSError(errno.ENOSPC, str(error)) from error
            raise


def claim(folder: Path, recipe: Any) -> None:
    """Make the folder of checkpoints this recipe's.

    Raises InvalidInputError where it has checkpoints of another recipe: going on from them would
    give a model that neither of the two describes.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / _RECIPE
    if any(folder.glob("checkpoint-*")) and path.exists():
        before = json.loads(path.read_bytes())
        changed = [key for key in recipe if before.get(key) != recipe[key]]
        if changed:
            raise InvalidInputError(
                f"{folder} has checkpoints of another recipe (it differs in {', '.join(changed)}): "
                "remove that folder to train anew, or give the recipe another output"
            )
    atomic_write_json(path, recipe)


def last_whole(folder: Path) -> Path | None:
    """The newest checkpoint that is whole; what is not is removed."""
    whole: list[tuple[int, Path]] = []
    for checkpoint in folder.glob("checkpoint-*"):
        if _is_whole(checkpoint):
            whole.append((int(checkpoint.name.rpartition("-")[2]), checkpoint))
        else:
            shutil.rmtree(checkpoint)
    return max(whole)[1] if whole else None


def _is_whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / _WHOLE).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(sizes == _sizes(checkpoint))


def _sizes(checkpoint: Path) -> dict[str, int]:
    return {
        path.relative_to(checkpoint).as_posix(): path.stat().st_size
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != _WHOLE
    }
