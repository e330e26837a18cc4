"""A Ray cluster that computes models for long offline work."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import socket
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search import __version__
from rerank_search.arguments import whole_number
from rerank_search.errors import ClusterError, InvalidInputError, MissingDependencyError
from rerank_search.files import atomic_write_json, make_folder
from rerank_search.http_calls.urls import is_url
from rerank_search.lock import ProcessLock
from rerank_search.on_ray.calls import Call, CallFolder
from rerank_search.on_ray.models import ForeseeingEncoder, ForeseeingReranker, WorkersModel
from rerank_search.on_ray.room import Share, workers_for
from rerank_search.on_ray.worker import Worker, marker_of
from rerank_search.progress import Progress, quiet
from rerank_search.reranking.base import Reranker
from rerank_search.retrieval.base import TextEncoder
from rerank_search.settings import Settings
from rerank_search.shown import counted

if TYPE_CHECKING:
    from types import ModuleType

MOST_BLOCKS = 5_000
"""Most blocks that the calls of a run are divided into; Ray schedules each as a task."""

FEW = 2
"""Most calls that are left to this process: it has computed them before workers have started."""

logger = logging.getLogger(__name__)


class RayCluster:
    """Computes vectors of documents, and scores of pairs, with workers on a Ray cluster.

    Give it as ``compute`` to ``build_index``, ``evaluate``, ``prepare`` or ``train``. A worker
    answers whole calls of the model, with as many threads as this process would use
    (``RERANK_SEARCH_THREADS``, or its cores). So in float32 results are those of this process to
    the last bit, if all processors are of one kind. Each worker takes so many CPUs of the cluster;
    with a GPU device, one GPU and one CPU. One or two calls are computed here.

    ``address`` is that of a cluster ("auto" finds the one of this machine, "HOST:PORT" another),
    or "local", which starts one here. ``workers`` is their number; None takes as many as fit.
    ``folder`` is where the calls and their answers are until the work is done; all machines must
    see it by the same path. None is ``ray`` in the cache folder, for a cluster of one machine.
    After an interruption a run with the same folder has what was answered before.
    ``wait`` is how many seconds it waits for CPUs and GPUs that are in use. ``progress`` is for the
    calls of each run.

    Raises MissingDependencyError without Ray, InvalidInputError for unusable arguments, and
    ClusterError if the cluster cannot be reached or has no room for a worker.
    """

    def __init__(
        self,
        address: str,
        *,
        workers: int | None = None,
        folder: Path | None = None,
        wait: float = 10.0,
        progress: Progress = quiet,
    ) -> None:
        if not isinstance(address, str) or not address.strip():
            raise InvalidInputError(
                "the address of a Ray cluster is empty: give HOST:PORT, 'auto' or 'local'"
            )
        if address.startswith("ray://"):
            raise InvalidInputError(
                f"{address!r} is an address for Ray's client, through which Ray Data does not run: "
                "start this program on a machine of the cluster, with the address 'auto'"
            )
        self._address = address
        self._workers = None if workers is None else whole_number("workers", workers)
        self._folder = (folder or Settings().cache / "ray").absolute()
        self._wait = wait
        self._progress = progress
        self._used: dict[Path, ProcessLock] = {}
        self._started = False
        self._ray = _imported()

    def __enter__(self) -> RayCluster:
        """Connect to the cluster. Raises ClusterError."""
        self._connect()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Leave the cluster; without an error, delete the calls and answers that were used."""
        for folder, lock in self._used.items():
            if kind is None:
                shutil.rmtree(folder, ignore_errors=True)
            lock.release()
        self._used.clear()
        if self._started:
            self._ray.shutdown()

    def encoder(self, encoder: TextEncoder) -> TextEncoder:
        """The encoder, computed there. Raises InvalidInputError for one behind a URL."""
        _check_not_served("encoder", encoder.name)
        return ForeseeingEncoder(encoder, self._run)

    def reranker(self, reranker: Reranker) -> Reranker:
        """The reranker, computed there. Raises InvalidInputError for one behind a URL.

        One without a fingerprint is computed here, because a worker could not tell whether it has
        the same one; a warning says so.
        """
        _check_not_served("reranker", reranker.name)
        if not hasattr(reranker, "fingerprint"):
            logger.warning(
                "the reranker %s is computed here, not on Ray: it has no fingerprint by which "
                "workers could check that theirs is the same",
                reranker.name,
            )
            return reranker
        return ForeseeingReranker(reranker, self._run)

    def _connect(self) -> None:
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors are raised
        if self._ray.is_initialized():
            return
        self._check_answers()
        # Ray would send statistics of its use.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if self._address == "local":
            options["include_dashboard"] = False
        try:
            self._ray.init(address=self._address, **options)
        except Exception as error:  # Ray raises several classes, and RuntimeError
            raise self._unreachable(error) from error
        self._started = True

    def _check_answers(self) -> None:
        """Raise ClusterError if nothing answers at HOST:PORT, where Ray would try for minutes."""
        host, colon, port = self._address.rpartition(":")
        if not colon:
            return
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except (OSError, ValueError, OverflowError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ClusterError:
        return ClusterError(
            f"the Ray cluster at {self._address!r} cannot be reached ({_said(error)}): start one "
            "with `ray start --head`, or give the address 'local'"
        )

    def _run(self, model: WorkersModel, calls: Iterable[Call]) -> CallFolder:
        """Have workers answer those calls that have no answer yet."""
        self._connect()
        identity = [__version__, *model.identity()]
        named = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:32]
        folder = CallFolder(self._folder / named)
        self._use(folder.path)
        atomic_write_json(marker_of(folder.path), {"made with": identity})
        keys = folder.note(calls)
        if len(keys) > FEW:
            device = model_device()
            share = Share.on(device)
            workers = workers_for(
                self._ray, share, len(keys), wanted=self._workers, wait=self._wait
            )
            environment = {
                "RERANK_SEARCH_THREADS": str(share.threads),
                "RERANK_SEARCH_DEVICE": device.partition(":")[0],  # a worker sees one GPU
            }
            with (
                self._progress(f"{model.name} on {counted(workers, 'worker')}", len(keys)) as tick,
                _errors(model, self._ray),
            ):
                # The workers read the texts themselves. Readers of Ray would need CPUs of their
                # own, and wait for ever where the workers have all of them.
                answered = self._named(keys).map_batches(
                    Worker,
                    batch_size=1,
                    compute=self._ray.data.ActorPoolStrategy(
                        size=workers, max_tasks_in_flight_per_actor=2
                    ),
                    fn_constructor_args=(model, str(folder.path), identity),
                    num_cpus=share.cpus,
                    num_gpus=share.gpus or None,
                    runtime_env={"env_vars": environment},
                )
                for batch in answered.iter_batches(batch_size=None, prefetch_batches=0):
                    tick(len(batch["call"]))
        return folder

    def _use(self, folder: Path) -> None:
        """Let no other program use the folder meanwhile: it would delete what is in it."""
        if folder in self._used:
            return
        make_folder(folder)
        lock = ProcessLock(folder.with_name(f"{folder.name}.lock"))
        if not lock.acquire(0.0):
            raise ClusterError(
                f"{lock.holder() or 'another program'} works with the same model in {folder}: wait "
                "for it, or give another folder"
            )
        self._used[folder] = lock

    def _named(self, keys: list[str]) -> Any:
        """The calls as a data set of Ray."""
        data = self._ray.data
        data.DataContext.get_current().enable_progress_bars = False
        blocks = min(len(keys), MOST_BLOCKS)
        return data.from_items([{"call": key} for key in keys], override_num_blocks=blocks)


def model_device() -> str:
    """The torch device of the models."""
    from rerank_search.models.loading import best_device

    return Settings().device or best_device()


@contextmanager
def _errors(model: WorkersModel, ray: ModuleType) -> Iterator[None]:
    """Turn the errors of Ray, and of a worker, into ClusterError."""
    try:
        yield
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"a worker on the Ray cluster failed with {model.name!r}: {_said(error)}. What was "
            "answered until then is kept: repair this, and repeat the command"
        ) from error


_OWN = re.compile(r"^rerank_search\.errors\.\w+: (.+)$", re.MULTILINE)


def _said(error: Exception) -> str:
    """The message of the first cause, which Ray gives as text."""
    told = "".join(traceback.format_exception(error)).strip()
    own = _OWN.findall(told)
    return str(own[-1] if own else told.splitlines()[-1])


def _check_not_served(what: str, name: str) -> None:
    if any(is_url(each) for each in name.split(",")):
        raise InvalidInputError(
            f"the {what} {name!r} is computed by the server behind its URL: leave Ray out"
        )


def _imported() -> ModuleType:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError(
            "work on a Ray cluster needs Ray: pip install 'rerank-search[ray]'"
        ) from error
    return ray
