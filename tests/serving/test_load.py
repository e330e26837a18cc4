"""A short mixed load; the benchmark of the API runs one for ten minutes."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter

import httpx2
import pytest

from rerank_search import Index

ACTS = 20
"""What each of six clients does."""

NONSENSE = [None, [], {"query": 3}, "words", {"documents": [{}]}, {"query": "a", "top_k": 10**9}]


@pytest.mark.slow
def test_a_mixed_load_has_no_fault_and_loses_nothing(fresh):
    statuses: Counter[int] = Counter()
    there: dict[str, str] = {}
    gone: set[str] = set()
    failures: list[BaseException] = []

    def client(number: int) -> None:
        chance = random.Random(number)
        with httpx2.Client(base_url=fresh.url, timeout=60) as http:
            for _ in range(ACTS):
                act = chance.choice([search, rerank, write, delete, nonsense, hang_up])
                status = act(http, chance, number)
                if status:
                    statuses[status] += 1

    def search(http, chance, number):
        asked = {"query": chance.choice(["join paths", "bread", "shell command"])}
        return http.post("/v1/search", json=asked).status_code

    def rerank(http, chance, number):
        asked = {"query": "read a file", "documents": ["a river", "a file"] * chance.randrange(9)}
        return http.post("/rerank", json=asked).status_code

    def write(http, chance, number):
        id, text = f"{number}-{chance.randrange(20)}", f"words {chance.random()}"
        documents = {"documents": [{"id": id, "text": text}]}
        status = http.post("/v1/indexes/notes/documents", json=documents).status_code
        if status == 200:
            there[id] = text
            gone.discard(id)
        return status

    def delete(http, chance, number):
        id = f"{number}-{chance.randrange(20)}"
        status = http.delete(f"/v1/indexes/notes/documents/{id}").status_code
        if status == 200:
            there.pop(id, None)
            gone.add(id)
        return status

    def nonsense(http, chance, number):
        path = chance.choice(["/rerank", "/score", "/v1/search", "/v1/indexes/notes/documents"])
        status = http.post(path, json=chance.choice(NONSENSE)).status_code
        assert 400 <= status < 500
        return status

    def hang_up(http, chance, number):
        host, port = fresh.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = "POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            body = '{"query": "read a file", "documents": ["a file", "a river"]}'
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
            connection.sendall(body[: chance.randrange(len(body) + 1)].encode())
        return 0

    def guarded(number: int) -> None:
        try:
            client(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert statuses[200] > 10
    assert not [status for status in statuses if status >= 500]
    assert fresh.client.get("/health/ready").status_code == 200
    with Index.open(fresh.home / "notes", read_only=True) as index:
        assert {id: index.get(id).text for id in there if id in index} == there
        assert not [id for id in gone if id in index]
