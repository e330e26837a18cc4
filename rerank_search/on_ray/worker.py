"""What runs on a machine of a Ray cluster: one loaded model, which answers calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rerank_search import __version__
from rerank_search.errors import ClusterError
from rerank_search.on_ray.calls import CallFolder
from rerank_search.on_ray.models import WorkersModel

MOST_TRIES = 5
"""Workers that may die of one call. Ray alone would start workers for it without end."""


def marker_of(folder: Path) -> Path:
    """The file by which a worker sees that it has the same folder."""
    return folder / "made-with.json"


class Worker:
    """Answers calls with a model that it loads at its start.

    Raises ClusterError if this machine lacks the folder, or has another version of this package or
    other weights than the program that started it.
    """

    def __init__(self, model: WorkersModel, folder: str, identity: list[str]) -> None:
        path = Path(folder)
        if not marker_of(path).exists():
            raise ClusterError(
                f"{folder} is not there on a machine of the cluster: give a folder that all of its "
                "machines see by the same path"
            )
        if __version__ != identity[0]:
            raise ClusterError(
                f"a machine of the cluster has rerank-search {__version__}, and the program "
                f"{identity[0]}: install the same version"
            )
        if [__version__, *model.identity()] != identity:
            raise ClusterError(
                f"a machine of the cluster has other files of the model {model.name!r} than the "
                "program: give it the same ones"
            )
        self._model = model
        self._calls = CallFolder(path)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer the calls with these keys."""
        for key in batch["call"].tolist():
            if self._calls.is_answered(key):  # by a worker that died before it could say so
                continue
            if self._calls.tried(key) > MOST_TRIES:
                raise ClusterError(
                    f"{MOST_TRIES} workers died while they answered one call: they may need more "
                    "memory, so start fewer workers on each machine"
                )
            self._calls.keep(key, self._model.answer(self._calls.call(key)))
        return batch
