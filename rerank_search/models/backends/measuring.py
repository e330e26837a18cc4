"""The speed of each option for a model on this machine, measured once and kept in the cache.

Most of the time goes into a runtime's export. Measurements are kept by model, processor, threads
and versions.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from rerank_search.errors import IndexReadOnlyError, RerankSearchError, StorageFullError
from rerank_search.files import atomic_write_json, disk_errors
from rerank_search.models.backends.deadline import Deadline, OutOfTimeError, one_process
from rerank_search.models.backends.installed import PAIRS, Loaded, example, install
from rerank_search.models.backends.options import BackendOption
from rerank_search.models.batches import each
from rerank_search.models.loading import positions

logger = logging.getLogger(__name__)

TOKENS = 128
"""Tokens of each measured pair."""

LIMIT = 30.0
"""Seconds for all exports and measurements, or for waiting for a process that makes them.

After that torch is used. An export that would take longer is not started; a started step is
finished."""

TRIES = 3
"""Number of times an option is tried if time runs out, each time at a later load of the model."""

_EXPORT_TAKES = 6
"""Cautious estimate of an export's time, in multiples of the time of measuring torch."""

METHOD = 3
"""Version of the measuring method; speeds of other versions are not used."""

_RUNS = 3


def measured(
    loaded: Loaded, usable: Sequence[BackendOption], cache: Path, seconds: float = LIMIT
) -> list[BackendOption]:
    """The options with their speed, fastest first; an option that failed has the speed 0.

    Measures the options without a known speed, for ``seconds`` at most; one process of a machine
    measures, and others wait for it. If time runs out, options without a speed come last, in the
    given order. Without a limit, options that ran out of time before are tried again.
    """
    path = cache / "backends" / f"{_key(loaded)}.json"
    tries = TRIES if seconds < math.inf else math.inf
    names = {f"{option.backend} {option.dtype}": option for option in usable}
    known = _known(path)
    if _new(names, known, tries):
        deadline = Deadline(time.monotonic() + seconds)
        try:
            with one_process(path, "measuring this model", deadline.left):
                known |= _known(path)  # measured by the other process
                if new := _new(names, known, tries):
                    tried = _tried(loaded, {name: names[name] for name in new}, cache, deadline)
                    known |= {
                        name: speed if speed >= 0 else min(known.get(name, 0.0), 0.0) - 1
                        for name, speed in tried.items()
                    }
                    _keep(path, known)
        except OutOfTimeError:
            known |= _known(path)
            logger.warning(
                "another process is still measuring this model after %.0f s: torch computes it "
                "here",
                seconds,
            )
    speeds = {name: speed for name, speed in known.items() if speed >= 0}
    found = [replace(option, pairs_per_second=speeds.get(name)) for name, option in names.items()]
    return sorted(found, key=lambda each: -(each.pairs_per_second or 0))


def _new(names: Iterable[str], known: Mapping[str, float], tries: float) -> list[str]:
    """The options to try: of unknown speed, or given up less often than ``tries``."""
    return [name for name in names if name not in known or -tries < known[name] < 0]


def _tried(
    loaded: Loaded, options: Mapping[str, BackendOption], cache: Path, deadline: Deadline
) -> dict[str, float]:
    """The speed of each option; -1 for one that ran out of time."""
    within = f", in {deadline.left:.0f} s at most" if deadline.moment < math.inf else ""
    logger.info("measuring which backend computes this model fastest, once%s", within)
    started = time.monotonic()
    speeds: dict[str, float | None] = {}
    for name, option in options.items():
        try:
            deadline.check()
            speeds[name] = _speed(loaded, option, cache, deadline)
        except OutOfTimeError:
            speeds[name] = -1.0
        if option.backend == "torch" and not deadline.export:
            expected = _EXPORT_TAKES * (time.monotonic() - started)
            deadline = replace(deadline, export=expected)
    if given_up := [name for name, speed in speeds.items() if speed == -1]:
        logger.warning(
            "too little time to measure %s: run `rerank-search backends`, which has no limit",
            ", ".join(given_up),
        )
    logger.info("measured in %.0f s", time.monotonic() - started)
    return {name: speed for name, speed in speeds.items() if speed is not None}


def _speed(loaded: Loaded, option: BackendOption, cache: Path, deadline: Deadline) -> float | None:
    """The speed of an option, 0 if it fails; None for disk errors, which may not come again."""
    try:
        return _measured(loaded, option, cache, deadline)
    except OutOfTimeError:
        raise
    except (OSError, IndexReadOnlyError, StorageFullError) as error:
        logger.warning("%s in %s was not measured: %s", option.backend, option.dtype, error)
        return None
    # Runtimes may raise anything, and there is always another option.
    except Exception as error:
        logger.warning(
            "%s in %s cannot compute this model: %s", option.backend, option.dtype, error
        )
        return 0.0


def _measured(loaded: Loaded, option: BackendOption, cache: Path, deadline: Deadline) -> float:
    """Pairs per second in the best of some runs, with as many parallel batches as allowed."""
    trial = replace(loaded, network=copy.deepcopy(loaded.network))
    installed = install(trial, option.backend, option.dtype, cache, deadline)
    length = min(TOKENS, positions(trial.network) or TOKENS)
    inputs = example(trial.network, length)

    def compute(_: int) -> None:
        with torch.inference_mode(), installed.context():
            installed.features({name: inputs[name] for name in loaded.names})

    batches = range(installed.at_once)
    seconds = []
    for _ in range(_RUNS + 1):
        started = time.perf_counter()
        list(each(compute, batches, installed.at_once))
        seconds.append(time.perf_counter() - started)
    return len(batches) * PAIRS / min(seconds[1:])


def _key(loaded: Loaded) -> str:
    """A hash of all that speeds depend on, as 32 hex digits."""
    basis = json.dumps([METHOD, loaded.weights, torch.get_num_threads(), machine()])
    return hashlib.sha256(basis.encode()).hexdigest()[:32]


def machine() -> str:
    """The processor's units and the versions of the runtimes, on which figures depend."""
    flags = sorted(name for name, there in torch.cpu.get_capabilities().items() if there is True)
    versions = [_version(name) for name in ("rerank-search", "torch", "openvino", "onnxruntime")]
    return json.dumps([flags, versions])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


_here: dict[Path, dict[str, float]] = {}
"""Speeds that this process measured and could not store."""


def _keep(path: Path, speeds: Mapping[str, float]) -> None:
    """Store the speeds; a number below 0 counts how often an option was given up."""
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(path, dict(speeds))
    except (RerankSearchError, OSError) as error:
        _here[path] = dict(speeds)
        logger.warning(
            "the measured speeds cannot be stored, so the next process measures again: %s", error
        )


def _known(path: Path) -> dict[str, float]:
    here = _here.get(path, {})
    try:
        found = json.loads(path.read_bytes())
        return here | {str(name): float(speed) for name, speed in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return dict(here)
