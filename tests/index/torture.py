"""Kill a process that writes to an index, at random moments, and check the index.

    python -m tests.index.torture 200 [--seed 1]

A child adds, replaces and deletes documents (and sometimes compacts or rebuilds). It writes each
change to a pipe before the call, and after the call that it is done. It is killed by SIGKILL.
Another child then opens the index and checks that everything acknowledged is there in the right
version, that everything deleted is gone, that the interrupted change has happened completely or
not at all, and that both stages and the documents agree.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from rerank_search.index import Index
from rerank_search.types import Document

Model = dict[str, int]
"""Document id -> version; the whole document follows from both."""

IDS = 60
SENTENCE = "the harbour and the bridge of the city in winter snow "


def document(id: str, version: int) -> Document:
    """A version of a document, with a word of its own; some are long enough to be split."""
    length = 1 + (version * 7 + int(id)) % 5 * ((int(id) % 7) == 0)
    text = f"common word{id}x{version} " + (SENTENCE * 2 + ". ") * length
    return Document(id, text, title="old song" if int(id) % 2 else "", metadata={"v": version})


def write(path: Path, seed: int, model: Model, say: Callable[[object], None]) -> None:
    """Change the index until killed."""
    chance = random.Random(seed)
    version = max(model.values(), default=0)
    with Index.open(path) as index:
        say("open")
        while True:
            action = chance.random()
            if action < 0.65:
                version += 1
                ids = [str(i) for i in chance.sample(range(IDS), chance.randint(1, 12))]
                say({"add": dict.fromkeys(ids, version)})
                index.add([document(id, version) for id in ids])
            elif action < 0.92:
                ids = [str(i) for i in chance.sample(range(IDS), chance.randint(1, 8))]
                say({"delete": ids})
                index.delete(ids)
            elif action < 0.97:
                say({})
                index.compact()
            else:
                say({})
                index.rebuild()
            say("done")


def changed(model: Model, change: dict[str, object]) -> Model:
    """The model after a change."""
    after = dict(model)
    added, deleted = change.get("add", {}), change.get("delete", [])
    if not isinstance(added, dict) or not isinstance(deleted, list):
        raise TypeError(f"no change: {change}")
    after.update(added)
    for id in deleted:
        after.pop(id, None)
    return after


def inspect(path: Path, candidates: list[Model], say: Callable[[object], None]) -> None:
    """Report which of the models the index has, or what is wrong."""
    with Index.open(path) as index:
        wrong = index.verify()
        held = {found.id: found for id in index.ids() if (found := index.get(id)) is not None}
        model = next(
            (m for m in candidates if held == {id: document(id, v) for id, v in m.items()}), None
        )
        if model is None:
            wrong.append(f"holds {sorted(held)}, expected one of {candidates}")
        elif len(index) != len(model):
            wrong.append(f"counts {len(index)} documents of {len(model)}")
        else:
            wrong += disagreements(index, model)
    say({"wrong": wrong, "model": model})


def disagreements(index: Index, model: Model) -> list[str]:
    """The differences between the documents and those that the stages find."""
    wrong = []
    for stage in ("bm25", "dense"):
        retriever = index.retriever(stage)
        [everything] = retriever.retrieve(["common"], IDS + 10)
        if {hit.id for hit in everything} != set(model):
            wrong.append(f"{stage} finds {sorted(hit.id for hit in everything)} of {sorted(model)}")
        queries = {id: f"word{id}x{version}" for id, version in model.items()}
        if stage == "dense" or not queries:
            continue
        for id, [best, *_] in zip(
            queries, retriever.retrieve(list(queries.values()), 3), strict=True
        ):
            if best.id != id:
                wrong.append(f"{stage} finds {best.id} for the word of {id}")
    return wrong


def forked(work: Callable[[Callable[[object], None]], None]) -> tuple[int, int]:
    """Run ``work`` in a child; its id, and the end of a pipe to read its messages."""
    read, written = os.pipe()
    child = os.fork()
    if child:
        os.close(written)
        return child, read
    os.close(read)
    try:
        work(lambda word: [None, os.write(written, json.dumps(word).encode() + b"\n")][0])
    except BaseException:  # the child must not return into the parent's stack
        os.write(written, json.dumps({"error": traceback.format_exc()}).encode() + b"\n")
    finally:
        os._exit(0)


def kill_once(path: Path, model: Model, chance: random.Random) -> tuple[Model, Model | None]:
    """Let a child write, and kill it; the acknowledged model, and that with the next change."""
    seed = chance.randrange(2**32)
    child, pipe = forked(lambda say: write(path, seed, model, say))
    told = b""
    if chance.random() < 0.8:  # otherwise it may be killed while it opens the index
        while b"\n" not in told and (piece := os.read(pipe, 65536)):
            told += piece
    deadline = time.monotonic() + chance.uniform(0, 1.2)
    while (left := deadline - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            piece = os.read(pipe, 65536)
            if not piece:
                break
            told += piece
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while piece := os.read(pipe, 65536):
        told += piece
    os.close(pipe)
    begun: dict[str, object] | None = None
    for line in told.split(b"\n")[:-1]:
        word = json.loads(line)
        if isinstance(word, dict) and "error" in word:
            raise RuntimeError(f"the child failed by itself:\n{word['error']}")
        if word == "done" and begun is not None:
            model, begun = changed(model, begun), None
        elif isinstance(word, dict):
            begun = word
    return model, None if begun is None else changed(model, begun)


def examined(path: Path, candidates: list[Model]) -> Model:
    """The content of the index, checked by another process. Raises an error if it is wrong."""
    child, pipe = forked(lambda say: inspect(path, candidates, say))
    told = b""
    while piece := os.read(pipe, 65536):
        told += piece
    os.close(pipe)
    os.waitpid(child, 0)
    found = json.loads(told)
    if found.get("wrong") or "error" in found:
        raise RuntimeError("\n".join(found.get("wrong") or [found["error"]]))
    model: Model = found["model"]
    return model


def torture(path: Path, encoder: Path, kills: int, seed: int) -> None:
    """Kill and check repeatedly. Raises RuntimeError, with the seed, at the first fault."""
    # Import them for the children; this process never uses them.
    import faiss  # noqa: F401
    import tantivy  # noqa: F401
    import torch  # noqa: F401

    def create(say: Callable[[object], None]) -> None:
        Index.create(path, encoder=str(encoder)).close()

    child, pipe = forked(create)
    os.close(pipe)
    os.waitpid(child, 0)
    chance = random.Random(seed)
    model: Model = {}
    acknowledged = 0
    for number in range(1, kills + 1):
        before = model
        model, begun = kill_once(path, model, chance)
        acknowledged += model != before
        try:
            model = examined(path, [model] if begun is None else [model, begun])
        except RuntimeError as error:
            raise RuntimeError(f"after kill {number} of seed {seed}:\n{error}") from error
    sys.stdout.write(
        f"{kills} kills, {acknowledged} of them after acknowledged changes; nothing lost, "
        f"{len(model)} documents at the end (seed {seed})\n"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--encoder", type=Path, help="a SentenceTransformer; default: a tiny one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        encoder = arguments.encoder or made_elsewhere(Path(folder))
        torture(Path(folder) / "index", encoder, arguments.kills, arguments.seed)


def made_elsewhere(folder: Path) -> Path:
    """The tests' tiny encoder, made in a child, so that this process starts no threads."""
    from tests.conftest import make_tiny_encoder

    child, pipe = forked(lambda say: say(str(make_tiny_encoder(folder))))
    told = os.read(pipe, 65536)
    os.waitpid(child, 0)
    os.close(pipe)
    return Path(json.loads(told))


if __name__ == "__main__":
    main()
