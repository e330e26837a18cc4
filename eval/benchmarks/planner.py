"""The planner's waits and percentiles against a simulation, and against a real server.

Usage: python eval/benchmarks/planner.py [--profile FILE] [--requests N] [--real N]

Writes eval/results/planner.md, .json and .svg. Service times are those of a profile; by default one
is measured now, in a minute, and written to eval/results/planner-profile.json. The simulation
(simpy) draws them at random; its clock is not the machine's. The real server is
`rerank-search serve`, which shares the cores with the client.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray
from report import RESULTS, save, table, write
from synthetic import documents, queries, texts

from rerank_search import Index
from rerank_search.planning import Profile, read_profile, write_profile
from rerank_search.planning.growth import largest
from rerank_search.planning.measuring import measure_profile
from rerank_search.planning.queueing import Stage, response

UTILISATIONS = (0.3, 0.5, 0.7, 0.8, 0.9)
SERVERS = 4
"""Servers of a shard: two replicas with two cores each."""

SHARDS = (1, 4, 16)
RERANKERS = (1, 4)
TURNS = 5
"""Turns that a request of mean length takes at a server that requests share."""

RUNS = 5
"""Runs of a simulation, each with a seed of its own."""

WARM_UP = 0.1
"""Share of the first requests of a run that are not counted."""

CORPUS, CANDIDATES, MODEL = 5_000, 20, "rerank-search-tiny"
ALONE = 150
"""Requests one after another, which give the real server's service times."""

REAL_UTILISATIONS = (0.3, 0.6)
ROUNDS = 3

REAL_HEADERS = (
    *("searches/s", "busy", "requests", "p50", "measured", "p99", "measured"),
    *("p99 of the rounds", "deviation"),
)

Times = NDArray[np.float64]
Events = Generator[simpy.Event, Any, None]


# The simulation


class Queue:
    """A group of servers with one queue; each request has one of them for itself."""

    def __init__(self, environment: simpy.Environment, servers: int) -> None:
        self._environment = environment
        self._servers = simpy.Resource(environment, servers)

    def serve(self, seconds: float) -> Events:
        with self._servers.request() as turn:
            yield turn
            yield self._environment.timeout(seconds)


class Shared:
    """Servers whose requests take turns; a request goes to the one with the fewest requests."""

    def __init__(self, environment: simpy.Environment, servers: int, slice: float) -> None:
        self._environment, self._slice = environment, slice
        self._jobs: list[deque[list[Any]]] = [deque() for _ in range(servers)]
        self._outstanding = [0] * servers
        self._awake = [environment.event() for _ in range(servers)]
        for place in range(servers):
            environment.process(self._work(place))

    def serve(self, seconds: float) -> Events:
        place = self._outstanding.index(min(self._outstanding))
        done = self._environment.event()
        self._outstanding[place] += 1
        self._jobs[place].append([seconds, done])
        if not self._awake[place].triggered:
            self._awake[place].succeed()
        yield done

    def _work(self, place: int) -> Events:
        jobs = self._jobs[place]
        while True:
            if not jobs:
                self._awake[place] = self._environment.event()
                yield self._awake[place]
            job = jobs.popleft()
            spent = min(self._slice, job[0])
            yield self._environment.timeout(spent)
            job[0] -= spent
            if job[0] > 1e-12:
                jobs.append(job)
            else:
                self._outstanding[place] -= 1
                job[1].succeed()


def simulated(stages: Sequence[Stage], requests: int, seed: int, *, alike: bool = False) -> Times:
    """Times of requests that arrive at random and go through the stages.

    With ``alike`` a request is as slow in all shards; otherwise each draws its own time.
    """
    environment, random = simpy.Environment(), np.random.default_rng(seed)
    rate = stages[0].rate
    groups: list[list[Queue | Shared]] = [
        [
            Shared(environment, stage.servers, float(stage.service.mean()) / TURNS)
            if stage.sharing
            else Queue(environment, stage.servers)
            for _ in range(stage.shards)
        ]
        for stage in stages
    ]
    found = np.zeros(requests)
    # Exactly the intended load, and each service time as often as the others.
    gaps = random.exponential(1.0, requests)
    gaps /= rate * gaps.mean()
    drawn = [
        random.permutation(np.resize(stage.service, requests * each)).reshape(requests, each)
        for stage in stages
        for each in [1 if alike else stage.shards]
    ]

    def request(number: int) -> Events:
        began = environment.now
        for own, times in zip(groups, drawn, strict=True):
            spent = np.broadcast_to(times[number], len(own)).tolist()
            yield environment.all_of(
                [
                    environment.process(group.serve(seconds))
                    for group, seconds in zip(own, spent, strict=True)
                ]
            )
        found[number] = environment.now - began

    def arrivals() -> Events:
        for number, gap in enumerate(gaps.tolist()):
            yield environment.timeout(gap)
            environment.process(request(number))

    environment.process(arrivals())
    environment.run()
    return found[int(WARM_UP * requests) :]


@dataclass(frozen=True)
class Case:
    """A part of a system at one load: what is predicted, and what the simulation gave."""

    name: str
    utilisation: float
    p50: float
    p99: float
    simulated_p50: float
    simulated_p99: float
    uncertain: float
    """Standard error of the simulated 99th percentile, by its spread between the runs."""

    @property
    def deviation(self) -> float:
        """Relative difference of the predicted 99th percentile from the simulated one."""
        return self.p99 / self.simulated_p99 - 1


def case(name: str, stages: Sequence[Stage], requests: int, *, alike: bool = False) -> Case:
    """The prediction and the simulation of one part."""
    predicted = response(stages)
    runs = [simulated(stages, requests // RUNS, seed, alike=alike) for seed in range(RUNS)]
    parts, times = [float(np.percentile(run, 99)) for run in runs], np.concatenate(runs)
    return Case(
        name,
        max(stage.utilisation for stage in stages),
        predicted.percentile(0.5),
        predicted.percentile(0.99),
        float(np.percentile(times, 50)),
        float(np.percentile(times, 99)),
        float(np.std(parts, ddof=1) / np.sqrt(len(parts))),
    )


def at(stage: Stage, utilisation: float) -> Stage:
    """The stage with as many requests as keep its servers busy for this share of the time."""
    return replace(stage, rate=utilisation * stage.servers / float(stage.service.mean()))


def cases(search: Times, rerank: Times, requests: int) -> Iterator[Case]:
    """All parts at all loads."""
    for utilisation, shards in itertools.product(UTILISATIONS, SHARDS):
        stage = at(Stage(search, SERVERS, 0.0, shards=shards), utilisation)
        yield case(f"first stage, {shards} shards", [stage], requests)
        if shards == SHARDS[-1]:
            name = f"first stage, {shards} shards, alike"
            yield case(name, [stage], requests, alike=True)
    for utilisation, servers in itertools.product(UTILISATIONS, RERANKERS):
        stage = at(Stage(rerank, servers, 0.0, sharing=True), utilisation)
        yield case(f"reranking, {servers} machines", [stage], requests)
    for utilisation in UTILISATIONS:
        models = at(Stage(rerank, RERANKERS[-1], 0.0, sharing=True), utilisation)
        # As many replicas as keep the shards about as busy.
        replicas = max(1, round(models.rate * float(search.mean()) / utilisation))
        first = Stage(search, replicas, models.rate, shards=SHARDS[1])
        yield case(f"both, {SHARDS[1]} shards", [first, models], requests)


# The real server


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of `rerank-search serve` with an index of made-up documents, once it answers."""
    with Index.create(folder / "made-up", encoder=None) as index:
        index.add(documents(CORPUS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["serve", str(folder / "made-up"), "--port", str(port), "--reranker", MODEL]
    process = subprocess.Popen(
        [sys.executable, "-m", "rerank_search", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"127.0.0.1:{port}"
        while True:
            with contextlib.suppress(OSError):
                search(address, "warm up")
                break
            assert process.poll() is None, "the server has ended"
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def search(address: str, query: str) -> None:
    """One search, on a connection of its own."""
    connection = http.client.HTTPConnection(address, timeout=120)
    body = {"query": query, "candidates": CANDIDATES, "first_stage": "bm25"}
    try:
        connection.request(
            "POST", "/v1/search", json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    finally:
        connection.close()


def alone(address: str, asked: Sequence[str]) -> Times:
    """Seconds of searches one after another."""
    seconds = []
    for query in asked:
        started = time.perf_counter()
        search(address, query)
        seconds.append(time.perf_counter() - started)
    return np.array(seconds)


def open_loop(address: str, asked: Sequence[str], rate: float, seed: int) -> Times:
    """Seconds from when a search was due, which arrive at random, whatever the server does."""
    due = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, len(asked)))
    started = time.perf_counter()

    def one(query: str, when: float) -> float:
        search(address, query)
        return time.perf_counter() - started - when

    with ThreadPoolExecutor(128) as pool:
        waiting = []
        for query, when in zip(asked, due.tolist(), strict=True):
            time.sleep(max(0.0, started + when - time.perf_counter()))
            waiting.append(pool.submit(one, query, when))
        return np.array([each.result() for each in waiting])


def real(requests: int) -> list[dict[str, float]]:
    """Predicted and measured percentiles of the server, in rounds that alternate the loads."""
    asked = queries(texts(CORPUS), ALONE + requests)
    taken: dict[float, list[Times]] = {share: [] for share in REAL_UTILISATIONS}
    services = []
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as address:
        alone(address, asked[:10])
        first = alone(address, asked[:ALONE])
        services.append(first)
        for turn in range(ROUNDS):
            for share, found in taken.items():
                rate = share / float(first.mean())
                found.append(open_loop(address, asked[ALONE:], rate, turn))
                print(f"turn {turn + 1}, {share}", file=sys.stderr, flush=True)
            services.append(alone(address, asked[:ALONE]))
    service = np.concatenate(services)
    rows = []
    for share, found in taken.items():
        rate = share / float(first.mean())
        predicted = response([Stage(service, 1, rate, sharing=True)])
        everything = np.concatenate(found)
        rows.append(
            {
                "searches_per_second": rate,
                "utilisation": rate * float(service.mean()),
                "requests": len(everything),
                "p50": predicted.percentile(0.5),
                "p99": predicted.percentile(0.99),
                "measured_p50": float(np.percentile(everything, 50)),
                "measured_p99": float(np.percentile(everything, 99)),
                "lowest_p99": min(float(np.percentile(each, 99)) for each in found),
                "highest_p99": max(float(np.percentile(each, 99)) for each in found),
                "alone_mean": float(service.mean()),
                "lowest_alone": min(float(each.mean()) for each in services),
                "highest_alone": max(float(each.mean()) for each in services),
            }
        )
    return rows


# The report


def draw(found: Sequence[Case], units: dict[str, float]) -> None:
    """Predicted lines and simulated points of the 99th percentile, in mean service times."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    names = list(dict.fromkeys(each.name for each in found))
    for axes, kind in zip(panels, ("first stage", "reranking"), strict=True):
        own = [name for name in names if name.startswith(kind)]
        for place, name in enumerate(own):
            these = [each for each in found if each.name == name]
            busy = [each.utilisation for each in these]
            unit, colour = units[kind], f"C{place}"
            axes.plot(busy, [each.p99 / unit for each in these], color=colour, label=name)
            simulated_p99 = [each.simulated_p99 / unit for each in these]
            errors = [2 * each.uncertain / unit for each in these]
            axes.errorbar(busy, simulated_p99, yerr=errors, fmt="o", color=colour, markersize=4)
        axes.set_xlabel("share of the time that servers are busy")
        axes.set_ylabel("99th percentile, in mean service times")
        axes.set_yscale("log")
        axes.legend(fontsize="small", title="lines predicted, points simulated")
    save(figure, "planner")


def milliseconds(*seconds: float) -> list[str]:
    """Cells of a table."""
    return [f"{each * 1000:.3g}" if each < 1 else f"{each * 1000:,.0f}" for each in seconds]


def report(
    found: Sequence[Case], checked: Sequence[dict[str, float]], profile: Profile, command: str
) -> None:
    """Write the tables and the picture; ``command`` made them."""
    search, rerank = (service(profile)[kind] for kind in ("first stage", "reranking"))
    draw(found, {"first stage": float(search.mean()), "reranking": float(rerank.mean())})
    rows = [
        [
            each.name,
            f"{each.utilisation:.2f}",
            *milliseconds(each.p50, each.simulated_p50, each.p99, each.simulated_p99),
            f"{each.uncertain / each.simulated_p99:.1%}",
            f"{each.deviation:+.1%}",
        ]
        for each in found
    ]
    low, high = (pick(found, key=lambda each: each.deviation) for pick in (min, max))
    usual = [each for each in found if each.utilisation < 0.75 and "alike" not in each.name]
    usual_low, usual_high = (pick(usual, key=lambda each: each.deviation) for pick in (min, max))
    real_rows = [
        [
            f"{each['searches_per_second']:.1f}",
            f"{each['utilisation']:.2f}",
            f"{each['requests']:.0f}",
            *milliseconds(each["p50"], each["measured_p50"], each["p99"], each["measured_p99"]),
            " to ".join(milliseconds(each["lowest_p99"], each["highest_p99"])),
            f"{each['p99'] / each['measured_p99'] - 1:+.0%}",
        ]
        for each in checked
    ]
    apart = [milliseconds(checked[0][f"{which}_alone"])[0] for which in ("lowest", "highest")]
    sections = {
        "What is compared": (
            "Percentiles by the formulas of `rerank_search/planning/queueing.py` with those of a "
            "discrete-event simulation (simpy), whose service times are drawn from the measured "
            "ones: a search by BM25 of the largest index of the profile "
            f"({search.mean() * 1000:.2f} ms in the mean, coefficient of variation "
            f"{search.std() / search.mean():.2f}), and "
            f"{profile.rerankers[0].label} reading the largest call ({rerank.mean() * 1000:.0f} ms,"
            f" {rerank.std() / rerank.mean():.2f}). A shard has {SERVERS} servers and one queue. "
            "Requests that are reranked take turns at a machine, and each goes to the machine with "
            "the fewest; the formulas know neither turns nor machines, only servers. `alike`: a "
            "request is as slow in all shards, where the formulas take shards as independent."
        ),
        "Results": (
            "Milliseconds. The error is the standard error of the simulated 99th percentile.\n\n"
            + table(
                ["part", "busy", "p50", "simulated", "p99", "simulated", "error", "deviation"],
                rows,
            )
            + "\n\n![predicted and simulated 99th percentiles](planner.svg)\n\n"
            f"The largest deviations of the predicted p99 are {low.deviation:+.1%} ({low.name}, "
            f"busy for {low.utilisation:.0%}) and {high.deviation:+.1%} ({high.name}, "
            f"{high.utilisation:.0%}). Up to 70% and with independent shards they are "
            f"{usual_low.deviation:+.1%} ({usual_low.name}, {usual_low.utilisation:.0%}) and "
            f"{usual_high.deviation:+.1%} ({usual_high.name}, {usual_high.utilisation:.0%})."
        ),
        "A real server": (
            f"`rerank-search serve` with {CORPUS:,} made-up documents of 60 words, BM25, and "
            f"{CANDIDATES} candidates reranked by {MODEL}. Searches arrive at random, whatever the "
            f"server does, in {ROUNDS} rounds. The prediction is that of one server that requests "
            f"share, from {ALONE} searches one after another before and after each round, whose "
            f"mean was {apart[0]} to {apart[1]} ms. Milliseconds. The client and whatever else "
            "runs here share the server's two cores, so the difference between rounds says how "
            "much a comparison with one of them is worth.\n\n"
            + table(
                REAL_HEADERS,
                real_rows,
            )
        ),
    }
    data = {"simulation": [vars(each) for each in found], "server": list(checked)}
    data["profile"] = profile.model_dump(exclude={"text", "vectors", "encoder", "rerankers"})
    print(write("planner", "The planner", command, sections, data))


def service(profile: Profile) -> dict[str, Times]:
    """The service times of the two stages."""
    return {
        "first stage": np.array(largest(profile.text.searches).seconds),
        "reranking": np.array(largest(profile.rerankers[0].calls).seconds),
    }


def main() -> None:
    """Measure, simulate, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", type=Path, help="of service times; measured if it is left out")
    parser.add_argument("--requests", type=int, default=60_000, help="of each simulation")
    parser.add_argument("--real", type=int, default=400, help="requests to the server in a round")
    given = parser.parse_args()

    @contextlib.contextmanager
    def telling(what: str) -> Iterator[None]:
        print(what, file=sys.stderr, flush=True)
        yield

    if given.profile:
        profile = read_profile(given.profile)
    else:
        profile = measure_profile(telling=telling)
        write_profile(profile, RESULTS / "planner-profile.json")
    checked = real(given.real)
    times = service(profile)
    found = []
    for each in cases(times["first stage"], times["reranking"], given.requests):
        found.append(each)
        print(f"{each.name}, {each.utilisation:.2f}", file=sys.stderr, flush=True)
    report(found, checked, profile, " ".join(["python eval/benchmarks/planner.py", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
