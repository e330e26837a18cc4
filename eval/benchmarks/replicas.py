"""Three replicas that are killed and restarted: failed answers, and throughput.

Usage: python eval/benchmarks/replicas.py [--seconds 300] [--every 10] [--model rerank-search-tiny]

Writes eval/results/replicas.md and .json. Needs HAProxy. Replicas are processes of `rerank-search
serve` with one thread each, the clients are threads of this process. First one replica has a third
of the clients; then all clients call three through HAProxy with deploy/haproxy.cfg, and through
a RemoteReranker with three URLs, without kills for a fifth of the time, then with them. A kill is
`kill -9`, and the replica is started again at once; it is left out if no other replica is ready.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx2
import numpy as np
from report import table, write
from synthetic import queries, texts

from rerank_search import RemoteReranker, RerankSearchError

CONFIGURATION = Path(__file__).parents[2] / "deploy/haproxy.cfg"
REPLICAS = 3
TEXTS, WORDS = 10, 20
REQUESTS = 200
SETTINGS = {
    "RERANK_SEARCH_BACKEND": "torch",
    "RERANK_SEARCH_DTYPE": "float32",
    "RERANK_SEARCH_THREADS": "1",
    "RERANK_SEARCH_OFFLINE": "1",
}

Request = tuple[str, list[str]]
"""A query and its texts."""

Client = Callable[[Request], list[float]]
"""Scores of a request's texts."""


def made_up() -> list[Request]:
    """Requests that all phases send."""
    words = texts(REQUESTS * TEXTS, terms=WORDS)
    asked = queries(words, REQUESTS)
    return [
        (query, words[place * TEXTS : (place + 1) * TEXTS]) for place, query in enumerate(asked)
    ]


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Replica:
    """A process of `rerank-search serve`, which starts again at the same port."""

    def __init__(self, folder: Path, model: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._model = model
        self._log = (folder / f"{self.port}.log").open("ab")
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process; ``ready`` says when it answers."""
        options = ["--port", str(self.port), "--reranker", self._model]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rerank_search", "serve", *options],
            cwd=self._folder,
            env={**os.environ, **SETTINGS, "RERANK_SEARCH_CACHE": str(self._folder / "cache")},
            stdout=self._log,
            stderr=self._log,
        )
        return self.process

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        try:
            return httpx2.get(f"{self.address}/health/ready", timeout=5).status_code == 200
        except httpx2.RequestError:
            return False

    def wait(self) -> None:
        """Return once it takes requests."""
        while not self.ready:
            if self.process.poll() is not None:
                raise SystemExit(f"a replica has ended: see {self._log.name}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()
        self._log.close()


@contextmanager
def running(folder: Path, model: str, number: int) -> Iterator[list[Replica]]:
    """So many replicas, which take requests."""
    replicas = [Replica(folder, model) for _ in range(number)]
    try:
        for each in replicas:
            each.wait()
        yield replicas
    finally:
        for each in replicas:
            each.end()


# HAProxy


class Balancer:
    """HAProxy with the configuration in deploy/."""

    def __init__(self, folder: Path, replicas: Sequence[Replica]) -> None:
        haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        if haproxy is None:
            raise SystemExit("HAProxy is missing: apt-get install haproxy")
        self._socket = folder / "haproxy.sock"
        counting = folder / "counting.cfg"
        counting.write_text(f"global\n    stats socket {self._socket}\n", encoding="utf-8")
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        addresses = {f"REPLICA_{i}": f"127.0.0.1:{r.port}" for i, r in enumerate(replicas, 1)}
        with (folder / "haproxy.log").open("wb") as log:
            self._process = subprocess.Popen(
                [haproxy, "-db", "-f", str(CONFIGURATION), "-f", str(counting)],
                env={"LISTEN": f"127.0.0.1:{port}", **addresses},
                stdout=log,
                stderr=log,
            )
        while not self._socket.exists():
            if self._process.poll() is not None:
                raise SystemExit((folder / "haproxy.log").read_text(encoding="utf-8"))
            time.sleep(0.05)

    def sent_again(self) -> int:
        """Requests that were sent to a replica again so far, after it failed or to another."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self._socket))
            asked.sendall(b"show stat\n")
            answer = b"".join(iter(lambda: asked.recv(65536), b"")).decode().removeprefix("# ")
        rows = csv.DictReader(answer.splitlines())
        [backend] = [
            row for row in rows if (row["pxname"], row["svname"]) == ("replicas", "BACKEND")
        ]
        return int(backend["wretr"]) + int(backend["wredis"])

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


class SetAside(logging.Handler):
    """Counts the servers that a RemoteReranker sets aside."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.times += "is set aside" in record.getMessage()


# Load


@dataclass
class Found:
    """What a phase has found; times are in milliseconds."""

    name: str
    clients: int
    seconds: float
    milliseconds: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    largest_difference: float = 0.0
    kills: int = 0
    kills_left_out: int = 0
    fewest_ready: int = REPLICAS
    sent_again: str = ""

    @property
    def per_second(self) -> float:
        """Answers in a second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, share: float) -> float:
        """The time that so many percent of the answers have taken at most."""
        return float(np.percentile(self.milliseconds, share)) if self.milliseconds else float("nan")


def load(
    name: str,
    clients: int,
    seconds: float,
    make: Callable[[], Client],
    requests: Sequence[Request],
    expected: dict[int, list[float]],
    killing: Callable[[Found, threading.Event], None] | None = None,
) -> Found:
    """Send requests one after the other from each client, for so many seconds.

    ``expected`` has the scores of earlier phases, and gets those of requests that it has not.
    """
    found = Found(name, clients, seconds)
    lock, over, numbers = threading.Lock(), threading.Event(), count()

    def client() -> None:
        ask = make()
        while not over.is_set():
            with lock:
                place = next(numbers) % len(requests)
            started = time.perf_counter()
            try:
                scores = ask(requests[place])
            except (httpx2.RequestError, RerankSearchError, AssertionError) as error:
                with lock:
                    found.failed[f"{type(error).__name__}: {error}"] += 1
                continue
            spent = (time.perf_counter() - started) * 1000
            with lock:
                known = expected.setdefault(place, scores)
                difference = float(np.abs(np.subtract(known, scores)).max())
                found.largest_difference = max(found.largest_difference, difference)
                found.milliseconds.append(spent)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    kills = threading.Thread(target=killing or (lambda *_: None), args=(found, over))
    started = time.perf_counter()
    for thread in [kills, *threads]:
        thread.start()
    time.sleep(seconds)
    over.set()
    for thread in threads:
        thread.join()
    found.seconds = time.perf_counter() - started
    kills.join()
    print(f"{name}: {found.per_second:.1f} answers/s, failed: {dict(found.failed)}", flush=True)
    return found


def killer(replicas: Sequence[Replica], every: float) -> Callable[[Found, threading.Event], None]:
    """Kills one replica after the other, if another one is ready, and starts it again."""

    def kill(found: Found, over: threading.Event) -> None:
        turn = 0
        while not over.wait(every):
            ready = [each for each in replicas if each.ready]
            found.fewest_ready = min(found.fewest_ready, len(ready))
            victim = replicas[turn % len(replicas)]
            if len([each for each in ready if each is not victim]) == 0:
                found.kills_left_out += 1
                continue
            victim.kill()
            victim.start()
            found.kills += 1
            turn += 1
        for each in replicas:
            each.wait()

    return kill


def over_http(address: str) -> Callable[[], Client]:
    """Clients with a connection each, which try nothing again."""

    def make() -> Client:
        connection = httpx2.Client(base_url=address, timeout=60)

        def ask(request: Request) -> list[float]:
            query, own = request
            body = {"query": query, "texts": own, "raw_scores": True}
            answer = connection.post("/rerank", json=body)
            assert answer.status_code == 200, answer.status_code
            scores = {each["index"]: each["score"] for each in answer.json()}
            return [scores[place] for place in range(len(own))]

        return ask

    return make


def through(reranker: RemoteReranker) -> Callable[[], Client]:
    """Clients that share a reranker."""

    def ask(request: Request) -> list[float]:
        query, own = request
        return reranker.score([(query, text) for text in own]).tolist()

    return lambda: ask


def measure(given: argparse.Namespace, folder: Path) -> list[Found]:
    """All phases."""
    requests, expected = made_up(), dict[int, list[float]]()
    short = max(given.seconds / 5, 5.0)
    phases = []
    with running(folder, given.model, 1) as [one]:
        make = over_http(one.address)
        phases.append(
            load("one replica", round(given.clients / 3), short, make, requests, expected)
        )
    with ExitStack() as stack:
        replicas = stack.enter_context(running(folder, given.model, REPLICAS))
        balancer = Balancer(folder, replicas)
        stack.callback(balancer.end)
        urls = ",".join(f"{each.address}/rerank" for each in replicas)
        reranker = RemoteReranker(urls)
        stack.callback(reranker.close)
        logger, aside = logging.getLogger("rerank_search.http_calls.replicas"), SetAside()
        logger.addHandler(aside)
        logger.propagate = False
        for name, make, counted in (
            ("HAProxy", over_http(balancer.address), balancer.sent_again),
            ("RemoteReranker", through(reranker), lambda: aside.times),
        ):
            told = (given.clients, short, make, requests, expected)
            phases.append(load(f"three by {name}", *told))
            before = counted()
            told = (given.clients, given.seconds, make, requests, expected)
            found = load(f"three by {name}, killed", *told, killing=killer(replicas, given.every))
            what = "requests sent again" if name == "HAProxy" else "times set aside"
            found.sent_again = f"{counted() - before} {what}"
            phases.append(found)
    return phases


def report(given: argparse.Namespace, phases: Sequence[Found], busy: float) -> Path:
    """Write the results; ``busy`` is the load of the machine before."""
    one = phases[0].per_second
    rows = [
        [
            each.name,
            each.clients,
            each.seconds,
            each.per_second,
            f"{each.per_second / one:.2f}",
            each.percentile(50),
            each.percentile(99),
            max(each.milliseconds, default=float("nan")),
            sum(each.failed.values()),
            each.kills,
            each.sent_again,
        ]
        for each in phases
    ]
    headers = ["setup", "clients", "seconds", "answers/s", "of one replica's", "p50 ms", "p99 ms",
               "longest ms", "failed", "kills", "repaired"]  # fmt: skip
    killed = [each for each in phases if each.kills]
    failed = sum((each.failed for each in phases), Counter[str]())
    cores = os.cpu_count() or 1
    found = [
        f"{sum(each.kills for each in killed)} kills, "
        f"{sum(sum(each.failed.values()) for each in killed)} failed answers"
        + "".join(f"; {times} of {said}" for said, times in failed.most_common(5)),
        f"kills left out, since no other replica was ready: "
        f"{sum(each.kills_left_out for each in phases)}; the fewest replicas that were ready when "
        f"one was killed: {min((each.fewest_ready for each in killed), default=REPLICAS)}",
        f"largest difference of a score from the first answer to the same request: "
        f"{max(each.largest_difference for each in phases):.1e}",
    ]
    sections = {
        "Load": f"`{given.model}`, {TEXTS} texts of {WORDS} words in a request. Each client sends "
        f"its next request once it has an answer. One replica has a third of the clients. "
        f"`kill -9` every {given.every:g} seconds, one replica after the other, which is started "
        f"again at once. Replicas that are set aside are counted with each probe that fails. "
        f"The load of the machine by other work was {busy:.1f} on {cores} cores.\n\n"
        + table(headers, rows),
        "Findings": "\n".join(f"- {each}" for each in found),
        f"What {cores} cores can show": f"Each replica computes with one thread, so {cores} cores "
        f"are the bound of three replicas, clients and balancer together: at most {cores} times "
        "one replica's answers, less what the clients take. So this shows that answers survive "
        "kills, not that throughput grows with the number of replicas. A replica that starts takes "
        "some CPU seconds, so there are fewer answers with kills.",
    }
    data = [
        {
            **{name: value for name, value in vars(each).items() if name != "milliseconds"},
            "answers": len(each.milliseconds),
            "per_second": each.per_second,
            "p50_ms": each.percentile(50),
            "p99_ms": each.percentile(99),
        }
        for each in phases
    ]
    command = "python eval/benchmarks/replicas.py"
    if (given.seconds, given.every, given.clients) != (300, 10, 32):
        command += f" --seconds {given.seconds:g} --every {given.every:g} --clients {given.clients}"
    return write("replicas", "Replicas that are killed", command, sections, data)


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="of each phase with kills")
    parser.add_argument("--every", type=float, default=10, help="seconds between kills")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--model", default="rerank-search-tiny")
    given = parser.parse_args()
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        phases = measure(given, Path(folder))
    print(report(given, phases, busy).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
