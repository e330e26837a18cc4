"""Vectors of a corpus by workers on a Ray cluster of this machine, against this process alone.

Usage: python eval/benchmarks/on_ray.py [--documents N] [--rounds N]

Writes eval/results/on-ray.md and .json. Both sides encode the same calls, in turn, in several
rounds. The steady state is from the first answered call to the last. What comes before it, starting
the workers, importing torch and loading the model, is given apart. Ray has as many CPUs as the
machine has cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
from report import table, write

from rerank_search import Encoder, Index
from rerank_search.corpora.python_docs import python_docs
from rerank_search.models.registry import DEFAULT_ENCODER
from rerank_search.on_ray import RayCluster
from rerank_search.on_ray.calls import Call, CallFolder
from rerank_search.on_ray.models import ForeseeingEncoder, WorkersModel


class Clock:
    """The times at which calls were answered."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.answered: list[float] = []

    def tick(self, done: float) -> None:
        self.answered += [time.perf_counter()] * int(done)

    @property
    def start_up(self) -> float:
        """Seconds until the first answer."""
        return self.answered[0] - self.started

    @property
    def rate(self) -> float:
        """Calls per second from the first answer to the last."""
        return (len(self.answered) - 1) / (self.answered[-1] - self.answered[0])


def calls_of(count: int) -> list[Call]:
    """The calls of the encoder with which an index of the first documents is made."""
    found: list[Call] = []

    def run(_: WorkersModel, calls: Iterable[Call]) -> CallFolder:
        found.extend(calls)
        raise InterruptedError

    with tempfile.TemporaryDirectory() as folder:
        encoder: object = ForeseeingEncoder(Encoder(DEFAULT_ENCODER), run)
        with Index.create(Path(folder) / "index", encoder=encoder) as index:  # type: ignore[arg-type]
            try:
                index.add(islice(python_docs(), count))
            except InterruptedError:
                return found
    raise AssertionError("nothing was foreseen")


def here(calls: list[Call]) -> Clock:
    """This process alone."""
    encoder, clock = Encoder(DEFAULT_ENCODER), Clock()
    for call in calls:
        encoder.encode(call.columns[0], task="document", prompt=call.settings["prompt"])
        clock.tick(1)
    return clock


def on_ray(calls: list[Call], threads: int) -> Clock:
    """As many workers as fit, with so many threads each."""
    os.environ["RERANK_SEARCH_THREADS"] = str(threads)
    clock = Clock()

    @contextmanager
    def progress(_: str, __: float) -> Iterator[Callable[[float], None]]:
        yield clock.tick

    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            RayCluster("auto", folder=Path(folder), progress=progress) as cluster,
        ):
            texts = [list(call.columns[0]) for call in calls]
            prompt = calls[0].settings["prompt"]
            encoder = cluster.encoder(Encoder(DEFAULT_ENCODER))
            clock.started = time.perf_counter()
            encoder.foresee(texts, task="document", prompt=prompt)  # type: ignore[attr-defined]
            some = calls[len(calls) // 2]
            vectors = encoder.encode(some.columns[0], task="document", prompt=prompt)
    finally:
        os.environ.pop("RERANK_SEARCH_THREADS")
    alone = Encoder(DEFAULT_ENCODER).encode(some.columns[0], task="document", prompt=prompt)
    if threads == (os.cpu_count() or 1) and not np.array_equal(vectors, alone):
        raise SystemExit("the vectors of the workers differ from those of this process")
    return clock


def main() -> None:
    """Measure all sides, and write the report."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--documents", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    calls, cores = calls_of(given.documents), os.cpu_count() or 1
    sides: dict[str, Callable[[], Clock]] = {"this process": lambda: here(calls)}
    for threads in sorted({1, cores}, reverse=True):
        name = f"Ray, workers x threads: {cores // threads} x {threads}"
        sides[name] = lambda threads=threads: on_ray(calls, threads)  # type: ignore[misc]
    clocks: dict[str, list[Clock]] = {name: [] for name in sides}
    with RayCluster("local"):
        for number in range(given.rounds):
            for name in sides if number % 2 == 0 else reversed(sides):
                print(f"{name}, round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
                clocks[name].append(sides[name]())
    alone = statistics.median(clock.rate for clock in clocks["this process"])
    rows = [
        [
            name,
            (rate := statistics.median(clock.rate for clock in own)),
            rate / alone,
            statistics.median(clock.start_up for clock in own),
        ]
        for name, own in clocks.items()
    ]
    characters = sum(map(len, (text for call in calls for text in call.columns[0])))
    about = (
        f"{DEFAULT_ENCODER} encodes the passages of {given.documents:,} documents of the "
        f"documentation of the standard library ({characters:,} characters in {len(calls):,} "
        f"calls) in float32, in {given.rounds} rounds, on {cores} cores. Figures are medians. "
        "A side's rate is counted from its first answered call to its last; the seconds before "
        "the first answer are given apart. Of each run with as many threads as this process has, "
        "one call was compared: its vectors were the same to the last bit."
    )
    headers = ["side", "calls/s", "of this process", "s until the first answer"]
    sections = {"What is measured": about, "Results": table(headers, rows)}
    command = "make bench-ray"
    data = {name: [[c.rate, c.start_up] for c in own] for name, own in clocks.items()}
    print(write("on-ray", "Work on a Ray cluster", command, sections, data))


if __name__ == "__main__":
    main()
