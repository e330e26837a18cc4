"""An encoder's vectors of texts: ours against `SentenceTransformer.encode` with its defaults.

Usage: python eval/benchmarks/encode.py [--short], or make bench-encode OPTIONS=--short

Writes eval/results/encoding.md and .json, on a CPU without units for bfloat16
encoding-avx2-only. All sides encode the same texts in one process, one
after another, in several rounds; every second round goes through the sides in reverse order. So
other work on the machine slows all of them. Also measured are the products of the network's linear
layers alone, the least time that the fused pass in float32 could take.

--short measures a twentieth of the texts in three rounds, in about a minute.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import table, write

from rerank_search import Encoder
from rerank_search.corpora.python_docs import python_docs
from rerank_search.models.backends.options import has_bfloat16, options
from rerank_search.models.batches import THREAD_BATCH_TOKENS, each
from rerank_search.models.registry import DEFAULT_ENCODER, resolve_encoder
from rerank_search.models.threads import one_thread

THEIRS = "sentence-transformers"
PRODUCTS = "products alone, float32"

SHORT, WHOLE = 3, 7
"""Rounds, with and without --short."""

WINDOWS, MIXED, TITLES, QUERIES = 160, 1_000, 2_000, 60
"""Texts of each set, without --short."""

LONG = 1_200
"""Characters of a text that fills the window of 256 tokens."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Texts:
    """A set of texts, the number of all tokens, and how many texts a call encodes."""

    name: str
    texts: list[str]
    tokens: int
    a_call: int


@dataclass(slots=True)
class Measured:
    """Seconds of each round, and the vectors of the last one."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    vectors: NDArray[np.float32] | None = None


def sets(short: bool) -> Iterator[Texts]:
    """Texts of the documentation of the standard library, by length."""
    documents = list(python_docs())
    order = np.random.default_rng(42).permutation(len(documents))
    texts = [documents[i].text for i in order]
    titles = [documents[i].title or documents[i].id for i in order]
    everything = " ".join(texts)
    windows = [everything[start : start + LONG] for start in range(0, len(everything), LONG)]
    share = 20 if short else 1
    for name, found, most, a_call in (
        ("the whole window", windows, WINDOWS, WINDOWS),
        ("docstrings", texts, MIXED, MIXED),
        ("titles", titles, TITLES, TITLES),
        ("titles, one a call", titles, QUERIES, 1),
    ):
        some = found[: max(most // share, 20)]
        yield Texts(name, some, tokens(some), a_call)


def tokens(texts: Sequence[str]) -> int:
    """Number of tokens that the encoder reads of all texts, special ones included."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{resolve_encoder(DEFAULT_ENCODER)}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(Encoder(DEFAULT_ENCODER, device="cpu").window or 512)
    return sum(len(each.ids) for each in tokenizer.encode_batch(list(texts)))


def sides() -> dict[str, Encode]:
    """What encodes texts, by name; each has encoded a text already."""
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(resolve_encoder(DEFAULT_ENCODER), device="cpu")
    found: dict[str, Encode] = {THEIRS: lambda texts: np.asarray(theirs.encode(list(texts)))}
    for option in options():
        side = f"ours, {option.backend}, {option.dtype}"
        if option.missing:
            print(f"{side} is left out: {option.missing}", file=sys.stderr)
            continue
        chosen: dict[str, Any] = {"backend": option.backend, "dtype": option.dtype}
        found[side] = Encoder(DEFAULT_ENCODER, device="cpu", **chosen).encode
    for encode in found.values():
        encode(["warm up", "a longer text to warm up with"])
    return found


def products(config: Any, count: int) -> Callable[[], object]:
    """A function that computes the linear layers' products of ``count`` tokens in all threads."""
    import torch

    from rerank_search.models.fused_bert import JoinedLinear

    width, wide = config.hidden_size, config.intermediate_size
    shapes = [(width, 3 * width), (width, width), (width, wide), (wide, width)]
    layers = [
        (
            torch.randn(THREAD_BATCH_TOKENS, inputs),
            JoinedLinear([(torch.randn(outputs, inputs), torch.zeros(outputs))], torch.float32),
        )
        for inputs, outputs in shapes
    ]
    alone = one_thread()
    threads = torch.get_num_threads() if alone else 1

    def compute(rows: int) -> None:
        with torch.inference_mode():
            buffer = torch.empty(rows * max(layer.width for _, layer in layers))
            for _ in range(config.num_hidden_layers):
                for inputs, layer in layers:
                    layer(inputs[:rows], buffer)

    def batch(rows: int) -> None:
        if alone is None:
            compute(rows)
        else:
            with alone():
                compute(rows)

    full, rest = divmod(count, THREAD_BATCH_TOKENS)
    return lambda: list(each(batch, [THREAD_BATCH_TOKENS] * full + [rest] * (rest > 0), threads))


def measure(of: Texts, encoders: dict[str, Encode], rounds: int) -> dict[str, Measured]:
    """Seconds of each side in each round."""
    from transformers import AutoConfig

    def encoding(encode: Encode) -> Callable[[], NDArray[np.float32]]:
        starts = range(0, len(of.texts), of.a_call)
        return lambda: np.concatenate([encode(of.texts[i : i + of.a_call]) for i in starts])

    config = AutoConfig.from_pretrained(resolve_encoder(DEFAULT_ENCODER))
    tasks: dict[str, Callable[[], Any]] = {
        **{name: encoding(encode) for name, encode in encoders.items()},
        **({PRODUCTS: products(config, of.tokens)} if of.a_call > 1 else {}),
    }
    found = {name: Measured() for name in tasks}
    for number in range(rounds):
        names = list(tasks)
        for name in names if number % 2 == 0 else reversed(names):
            wall, cpu = time.perf_counter(), time.process_time()
            made = tasks[name]()
            found[name].cpu.append(time.process_time() - cpu)
            found[name].wall.append(time.perf_counter() - wall)
            if name in encoders:
                found[name].vectors = made
        print(f"{of.name}, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


def rows(of: Texts, found: dict[str, Measured]) -> Iterator[dict[str, Any]]:
    """The figures of each side."""
    theirs = found[THEIRS]
    assert theirs.vectors is not None
    wall, cpu = statistics.median(theirs.wall), statistics.median(theirs.cpu)
    for side, own in found.items():
        seconds = statistics.median(own.wall)
        cosines = None
        if own.vectors is not None:
            cosines = (own.vectors * theirs.vectors).sum(axis=1)
        yield {
            "texts": of.name,
            "side": side,
            "seconds": seconds,
            "least_seconds": min(own.wall),
            "cpu_seconds": statistics.median(own.cpu),
            "times": wall / seconds,
            "times_of_least": min(theirs.wall) / min(own.wall),
            "times_in_cpu": cpu / statistics.median(own.cpu),
            "tokens_per_second": of.tokens / seconds,
            "least_cosine": None if cosines is None else float(cosines.min()),
        }


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="about a minute")
    short = parser.parse_args().short
    rounds = SHORT if short else WHOLE
    encoders, all_texts = sides(), list(sets(short))
    facts = [row for each in all_texts for row in rows(each, measure(each, encoders, rounds))]
    shown = [
        [
            row["texts"],
            row["side"],
            row["seconds"],
            row["least_seconds"],
            row["cpu_seconds"],
            f"{row['times']:.2f}",
            f"{row['times_of_least']:.2f}",
            f"{row['times_in_cpu']:.2f}",
            f"{row['tokens_per_second']:,.0f}",
            "" if row["least_cosine"] is None else f"{row['least_cosine']:.5f}",
        ]
        for row in facts
    ]
    headers = ["texts", "side", "s", "least s", "CPU s", "times", "of the least", "in CPU"]
    headers += ["tokens/s", "least cosine"]
    described = "; ".join(
        f"{each.name}: {len(each.texts):,}, {each.tokens / len(each.texts):.0f} tokens each on "
        "average"
        for each in all_texts
    )
    default = Encoder(DEFAULT_ENCODER, backend="auto", dtype="auto")
    about = (
        f"{DEFAULT_ENCODER} encodes texts of the documentation of the standard library on the CPU "
        f"({described}). Every side runs in this process, one after another, in {rounds} rounds"
        f"{' of a short run' if short else ''}. Seconds are medians, and the least of all rounds. "
        f"Times are those of {THEIRS}' `SentenceTransformer.encode` with its defaults, divided by "
        "the side's: of medians, of the least, and of the medians of CPU seconds. The least cosine "
        "is that to their vector of the same text. The products are those of the linear layers "
        f"alone, in batches of {THREAD_BATCH_TOKENS:,} tokens without padding. "
        f"By default ours computes with {default.backend} in {default.dtype}."
    )
    sections = {"What is measured": about, "Results": table(headers, shown)}
    command = "make bench-encode"
    data = {"rounds": rounds, "short": short, "sides": facts}
    name = "encoding" if has_bfloat16() else "encoding-avx2-only"
    print(write(name, "Encoding", command, sections, data))


if __name__ == "__main__":
    main()
