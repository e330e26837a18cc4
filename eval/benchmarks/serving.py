"""The HTTP API: the time that it adds to the library's own.

Usage: python eval/benchmarks/serving.py [--queries N] [--seconds N]

Writes eval/results/serving.md and .json. Servers and the library run in processes of their own,
one after another; the clients are threads of this one, on the loopback. The pairs are those of
rerank.py. With --seconds a server runs under mixed load (searches, writes, invalid requests,
broken connections) for that time, and its memory is measured.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from report import table, write
from rerank import MODEL, Task, tasks
from synthetic import documents, queries, texts

from rerank_search import CrossEncoderReranker, Index, Searcher
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.limits import Limits
from rerank_search.serving.server import Server

CLIENTS, TEXTS = 32, 20
SEARCHES = 300
CORPUS = 5_000
TURNS = 2

Request = tuple[str, list[str]]
"""A query and its documents."""


def requests(task: Task) -> list[Request]:
    """The lists of candidates, cut into requests."""
    return [
        (query, own[start : start + TEXTS])
        for query, own in zip(task.queries, task.texts, strict=True)
        for start in range(0, len(own), TEXTS)
    ]


# Functions that run in a process of their own


def serve(home: Path, *, shared: bool) -> None:
    """Serve the bundled reranker and the indexes of a folder, and print the address."""
    reranker = CrossEncoderReranker(MODEL, device="cpu")
    reranker.score([("warm", "up")])
    with Server("127.0.0.1", 0) as server:
        print(server.url, flush=True)
        indexes = Indexes(home, {}, all_of_home=True)
        server.run(indexes, [reranker], Limits(), share_batches=shared)


def offline(path: Path) -> None:
    """Score all pairs at once, and print the seconds."""
    pairs = [(query, text) for query, own in json.loads(path.read_bytes()) for text in own]
    reranker = CrossEncoderReranker(MODEL, device="cpu")
    reranker.score([("warm", "up")])
    started = time.perf_counter()
    reranker.score(pairs)
    print(time.perf_counter() - started, flush=True)


# Clients


@contextmanager
def server(home: Path, *, shared: bool = True) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server process, once it answers."""
    arguments = [sys.executable, __file__, "--serve", str(home)]
    process = subprocess.Popen(
        arguments + ([] if shared else ["--one-by-one"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip().removeprefix("http://")
        while post(address, "/v2/rerank", {"query": "a", "documents": ["b"]})[0] != 200:
            time.sleep(0.05)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def post(address: str, path: str, body: Any, method: str = "POST") -> tuple[int, bytes]:
    """Status and body of a request on its own connection; status 0 without an answer."""
    connection = http.client.HTTPConnection(address, timeout=120)
    try:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def rerank_all(address: str, asked: Sequence[Request]) -> tuple[float, list[float]]:
    """Seconds for all requests by all clients, and milliseconds of each."""

    def ask(request: Request) -> float:
        started = time.perf_counter()
        status, _ = post(address, "/v2/rerank", {"query": request[0], "documents": request[1]})
        assert status == 200, status
        return (time.perf_counter() - started) * 1000

    with ThreadPoolExecutor(CLIENTS) as pool:
        started = time.perf_counter()
        milliseconds = list(pool.map(ask, asked))
        return time.perf_counter() - started, milliseconds


def throughput(asked: Sequence[Request], home: Path) -> dict[str, dict[str, float]]:
    """Pairs per second and latencies of the library alone and of servers, in turn."""
    pairs = sum(len(own) for _, own in asked)
    seconds: dict[str, list[float]] = {"library": [], "server": [], "server, one by one": []}
    latencies: dict[str, list[float]] = {name: [] for name in seconds}
    path = home.parent / "requests.json"
    path.write_text(json.dumps(asked), encoding="utf-8")
    for turn in range(TURNS):
        for name, taken in seconds.items():
            if name == "library":
                done = subprocess.run(
                    [sys.executable, __file__, "--offline", str(path)],
                    stdout=subprocess.PIPE,
                    check=True,
                )
                taken.append(float(done.stdout))
            else:
                with server(home, shared=name == "server") as (address, _):
                    spent, milliseconds = rerank_all(address, asked)
                    taken.append(spent)
                    latencies[name] += milliseconds
            print(f"turn {turn + 1}, {name}: {taken[-1]:.1f} s", file=sys.stderr, flush=True)
    return {
        name: {
            "pairs_per_second": pairs / min(taken),
            **(
                {f"p{share}_ms": float(np.percentile(latencies[name], share)) for share in (50, 99)}
                if latencies[name]
                else {}
            ),
        }
        for name, taken in seconds.items()
    }


def overhead(home: Path) -> dict[str, float]:
    """Milliseconds of searches without reranking, by the library and over HTTP, in turn."""
    asked = queries(texts(CORPUS), SEARCHES)
    spent: dict[str, list[float]] = {"library": [], "server": []}
    with server(home) as (address, _), Index.open(home / "made-up", read_only=True) as index:
        searcher = Searcher(index, reranker=None)
        host = http.client.HTTPConnection(address)
        for query in asked:
            started = time.perf_counter()
            searcher.search(query, first_stage="bm25")
            spent["library"].append((time.perf_counter() - started) * 1000)
            body = {"query": query, "first_stage": "bm25", "rerank": False}
            started = time.perf_counter()
            host.request(
                "POST", "/v1/search", json.dumps(body), {"Content-Type": "application/json"}
            )
            answer = host.getresponse()
            answer.read()
            spent["server"].append((time.perf_counter() - started) * 1000)
            assert answer.status == 200
        host.close()
    return {name: float(np.percentile(taken, 50)) for name, taken in spent.items()}


# Mixed load


def mixed(home: Path, seconds: float) -> dict[str, Any]:
    """The statuses, lost writes, and growth of the server's memory under mixed load."""
    statuses: Counter[int] = Counter()
    acknowledged: dict[str, bool] = {}
    lock, ends = threading.Lock(), time.monotonic() + seconds
    words = texts(200)
    made_up = queries(words, 200)

    def search(address: str, chance: random.Random) -> int:
        return post(address, "/v1/search", {"query": chance.choice(made_up), "top_k": 5,
                                            "candidates": 20})[0]  # fmt: skip

    def rerank(address: str, chance: random.Random) -> int:
        return post(address, "/rerank", {"query": chance.choice(made_up),
                                         "documents": chance.sample(words, 10)})[0]  # fmt: skip

    def upsert(address: str, chance: random.Random) -> int:
        id = f"w{chance.randrange(500)}"
        with lock:
            if id in acknowledged:  # one writer of an id at a time, so the last one is known
                return 0
            acknowledged[id] = False
        document = {"id": id, "text": chance.choice(words)}
        status, _ = post(address, "/v1/indexes/made-up/documents", {"documents": [document]})
        with lock:
            acknowledged[id] = status == 200
        return status

    def delete(address: str, chance: random.Random) -> int:
        with lock:
            there = [id for id, written in acknowledged.items() if written]
            if not there:
                return 0
            id = chance.choice(there)
            acknowledged[id] = False
        status, _ = post(address, f"/v1/indexes/made-up/documents/{id}", None, "DELETE")
        with lock:
            del acknowledged[id]
        return status

    def nonsense(address: str, chance: random.Random) -> int:
        path = chance.choice(["/rerank", "/v1/search", "/score", "/v1/indexes/made-up/documents"])
        return post(address, path, chance.choice([None, [], {"query": 3}, "words", {"a": [{}]}]))[0]

    def hang_up(address: str, chance: random.Random) -> int:
        host, port = address.split(":")
        body = json.dumps({"query": "a", "documents": chance.sample(words, 20)}).encode()
        head = "POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
            connection.sendall(body[: chance.randrange(len(body) + 1)])
        return 0

    kinds: list[Callable[[str, random.Random], int]] = [search, rerank, upsert, delete, nonsense,
                                                         hang_up]  # fmt: skip

    def client(address: str, seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < ends:
            status = chance.choice(kinds)(address, chance)
            with lock:
                statuses[status] += 1

    memory: list[tuple[float, float]] = []
    with server(home) as (address, process):
        threads = [threading.Thread(target=client, args=(address, seed)) for seed in range(8)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            memory.append((time.monotonic() - started, process.memory_info().rss / 2**20))
            time.sleep(min(1.0, seconds / 20))
        for thread in threads:
            thread.join()
    with Index.open(home / "made-up", read_only=True) as index:
        lost = [id for id, written in acknowledged.items() if written and id not in index]
    # The first third fills caches.
    later = np.array(memory[len(memory) // 3 :])
    slope = float(np.polyfit(later[:, 0], later[:, 1], 1)[0]) * 60
    return {
        "seconds": seconds,
        "requests": sum(count for status, count in statuses.items() if status),
        "hung_up": statuses[0],
        "statuses": {str(s): count for s, count in sorted(statuses.items()) if s},
        "server_errors": sum(count for status, count in statuses.items() if status >= 500),
        "acknowledged": sum(acknowledged.values()),
        "lost": len(lost),
        "memory_mib": [float(later[0, 1]), float(later[-1, 1])],
        "memory_mib_per_minute": slope,
    }


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, help="sample this many of the queries")
    parser.add_argument("--seconds", type=float, default=600, help="of mixed load")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one-by-one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--offline", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, shared=not given.one_by_one)
        return
    if given.offline:
        offline(given.offline)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with Index.create(home / "made-up", encoder=None) as index:
            index.add(documents(CORPUS))
        collection, _, task = tasks(given.queries)
        asked = requests(task)
        found = throughput(asked, home)
        spent = overhead(home)
        load = mixed(home, given.seconds)
    report(collection.name, asked, found, spent, load)


def report(
    name: str,
    asked: Sequence[Request],
    found: dict[str, dict[str, float]],
    spent: dict[str, float],
    load: dict[str, Any],
) -> None:
    """Write the tables and the targets."""
    alone = found["library"]["pairs_per_second"]
    rows = [
        [
            side,
            f"{own['pairs_per_second']:.0f}",
            f"{own['pairs_per_second'] / alone:.2f}",
            f"{own['p50_ms']:.0f}" if "p50_ms" in own else "",
            f"{own['p99_ms']:.0f}" if "p99_ms" in own else "",
        ]
        for side, own in found.items()
    ]
    share = found["server"]["pairs_per_second"] / alone
    added = spent["server"] - spent["library"]
    first, last = load["memory_mib"]
    statuses = ", ".join(f"{count:,} of {status}" for status, count in load["statuses"].items())
    targets = [
        (f"{share:.2f} of the library's pairs per second, of at least 0.85", share >= 0.85),
        (f"p50 of a search is {added:.1f} ms above the library's, of at most 3", added < 3),
        (f"{load['server_errors']} server errors, of none", load["server_errors"] == 0),
        (f"{load['lost']} acknowledged writes lost, of none", load["lost"] == 0),
    ]
    sections = {
        "Reranking": (
            f"{CLIENTS} clients send {len(asked):,} requests of {TEXTS} documents of {name}, with "
            f"all pairs of `rerank.md`; the library scores the same pairs in one call. The best of "
            f"{TURNS} turns, each in a process of its own. One by one: the server without shared "
            "batches.\n\n"
            + table(["side", "pairs/s", "of the library's", "p50 ms", "p99 ms"], rows)
        ),
        "Searching": (
            f"{SEARCHES} searches by BM25 in {CORPUS:,} made-up documents, without reranking, by "
            f"the library and over HTTP in turn: p50 {spent['library']:.2f} ms and "
            f"{spent['server']:.2f} ms."
        ),
        "Mixed load": (
            f"{load['seconds']:.0f} seconds of 8 clients that search, rerank, insert, delete, send "
            f"nonsense and hang up: {load['requests']:,} answers ({statuses}), and "
            f"{load['hung_up']:,} invalid or abandoned requests. Memory after a third of the time "
            f"and at the end: {first:.0f} and {last:.0f} MiB, "
            f"{load['memory_mib_per_minute']:+.1f} MiB a minute."
        ),
        "Targets": "\n".join(
            f"- {text}: {'met' if met else '**missed**'}" for text, met in targets
        ),
    }
    data = {"rerank": found, "search": spent, "mixed": load}
    print(write("serving", "The HTTP API", "make bench-serve", sections, data))


if __name__ == "__main__":
    main()
