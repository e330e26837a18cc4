"""BM25 at 100,000 and 1,000,000 documents, against raw tantivy and bm25s in the same run.

Usage: python eval/benchmarks/bm25_scale.py [--indexes FOLDER] [--sizes N ...] [--bm25s N]

Writes eval/results/bm25-scale.md and .json. Missing indexes are made in FOLDER and kept there, with
the seconds that it took (1,000,000 documents: minutes, 2 GB), or without --indexes in a temporary
folder. bm25s is measured at up to --bm25s documents. Real texts come from ../shared/data.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import bm25s
import growth
import numpy as np
import synthetic
import tantivy
from counting import Counting
from numpy.typing import NDArray
from report import table, write

from rerank_search import Document, Index
from rerank_search.retrieval.analysis import ANALYSIS, QueryTerms, Words
from rerank_search.retrieval.bm25 import Bm25Index
from rerank_search.retrieval.bm25_search import Bm25Search
from rerank_search.retrieval.postings import Postings
from rerank_search.types import Filter

SHARED = Path(__file__).parents[3] / "shared" / "data"
REAL_QUERIES = ("cranfield", "fiqa", "medquad", "msmarco-dl19", "scifact", "wikiqa")
TARGET = 1.5
QUERIES = 100
FILTERED_QUERIES = 20
SHARES = (0.001, 0.2, 0.96)
BY_METADATA: dict[float, Filter] = {
    0.001: {"group": 5},
    0.2: {"part": {"$in": [0, 1]}},
    0.96: {"group": {"$gte": 40}},
}
LONG = {100: 10, 1000: 5, 10_000: 1}
"""Words of a long query, and the number of such queries."""

Search = Callable[[str], object]


def cpu(call: Callable[[], object]) -> float:
    """CPU seconds of a call in all threads, which other work on the machine changes least."""
    started = time.process_time()
    call()
    return time.process_time() - started


def kept(path: Path, make: Callable[[Path], object]) -> float:
    """The CPU seconds in which ``path`` was made, now or in an earlier run."""
    record = path.with_name(path.name + ".seconds.json")
    if not record.is_file():
        print(f"making {path}", file=sys.stderr, flush=True)
        shutil.rmtree(path, ignore_errors=True)
        record.write_text(json.dumps(cpu(lambda: make(path))))
    return float(json.loads(record.read_text()))


def make_ours(path: Path, documents: Iterable[Document]) -> None:
    """An index of documents, SQLite included."""
    with Index.create(path, encoder=None, passages=None) as index:
        index.add(documents)


def make_bm25s(path: Path, documents: Iterable[Document]) -> None:
    """bm25s from its own tokeniser, without stemming."""
    texts = [f"{document.title} {document.text}" for document in documents]
    scorer = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    tokens = bm25s.tokenize(texts, stopwords=None, show_progress=False)
    scorer.index(tokens, show_progress=False)
    scorer.save(path)


def real_documents() -> Iterator[Document]:
    """The corpora of all collections, one after the other."""
    for path in sorted(SHARED.glob("*/corpus.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                name = f"{path.parent.name}/{row['_id']}"
                yield Document(name, row.get("text", ""), title=row.get("title", ""))


def real_queries() -> list[str]:
    """Some queries of each of several collections."""
    chosen = []
    for name in REAL_QUERIES:
        lines = (SHARED / name / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        some = lines[:: max(1, len(lines) * len(REAL_QUERIES) // QUERIES)]
        chosen += [str(json.loads(line)["text"]) for line in some]
    return chosen


def terms_of(query: str) -> QueryTerms:
    """The terms that all sides but bm25s search."""
    return Words("english").of_query(query, lambda _: 0)


class Sides:
    """The same index as we search it and as tantivy alone does, and bm25s."""

    def __init__(self, index: Path, static: Path | None) -> None:
        self.ours = Bm25Index(index / "bm25", read_only=True)
        self.postings = Postings(index / "bm25", "english", ANALYSIS)
        self.searcher = self.postings.searcher()
        self.static = (
            None if static is None else bm25s.BM25.load(static, mmap=True, show_progress=False)
        )

    def searches(self, k: int, allowed: NDArray[np.int64] | None = None) -> dict[str, Search]:
        """A function for each side; a filter of the other two is made beforehand."""
        schema, must = self.postings.schema, tantivy.Occur.Must
        within = mask = None
        if allowed is not None:
            ids = tantivy.Query.term_set_query(schema, "id", allowed.tolist())
            within = tantivy.Query.const_score_query(ids, 0.0)
            mask = np.zeros(self.searcher.num_docs, np.float32)
            mask[allowed - 1] = 1.0

        def raw(query: str) -> None:
            should = tantivy.Occur.Should
            words = terms_of(query).terms
            plain = tantivy.Query.boolean_query(
                [(should, tantivy.Query.term_query(schema, "text", word, "freq")) for word in words]
            )
            if within is not None:
                plain = tantivy.Query.boolean_query([(must, plain), (must, within)])
            hits = self.searcher.search(plain, k, count=False).hits
            self.searcher.fast_field_values("id", [address for _, address in hits])

        def static(query: str) -> None:
            words = bm25s.tokenize([query], stopwords=None, return_ids=False, show_progress=False)
            self.static.retrieve(words, k=k, weight_mask=mask, show_progress=False)

        searches: dict[str, Search] = {
            "ours": lambda query: self.ours.search([query], k, allowed=allowed),
            "tantivy": raw,
        }
        return searches if self.static is None else searches | {"bm25s": static}

    def engine_searches(self, queries: Sequence[str], k: int) -> float:
        """How often tantivy is searched for a query, on average."""
        counting = Counting(self.searcher)
        search = Bm25Search(counting, self.postings.schema, k, None)
        for query in queries:
            search.best(terms_of(query))
        return counting.searches / len(queries)


def in_turn(searches: dict[str, Search], queries: Sequence[str]) -> dict[str, list[float]]:
    """p50 and p95 of each side in CPU milliseconds; the sides take turns within each query."""
    spent: dict[str, list[float]] = {name: [] for name in searches}
    for name in searches:
        searches[name](queries[0])
    for query in queries:
        for name, search in searches.items():
            spent[name].append(cpu(lambda q=query, s=search: s(q)) * 1000)
    return {name: [float(np.percentile(of, p)) for p in (50, 95)] for name, of in spent.items()}


def first_stage(path: Path, queries: Sequence[str]) -> dict[str, list[float]]:
    """The same for the first stage of an index, which reads document ids and filters in SQLite."""
    found = {}
    with Index.open(path, read_only=True) as index:
        stage = index.retriever("bm25")
        for share, filter in ((1.0, None), *BY_METADATA.items()):
            ours = {"first": lambda q, f=filter: stage.retrieve([q], 10, filter=f)}
            found[f"{share:.1%}"] = in_turn(ours, queries)["first"]
    return found


def one_more(path: Path) -> dict[str, float]:
    """CPU milliseconds to add one document, in an index and in tantivy alone, on a copy."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        copy = Path(shutil.copytree(path, Path(folder) / "index"))
        raw = Postings(
            Path(shutil.copytree(path / "bm25", Path(folder) / "raw")), "english", ANALYSIS
        )
        words = synthetic.VOCABULARY

        def alone(i: int) -> None:
            with raw.writer() as writer:
                document = tantivy.Document()
                document.add_integer("id", 10_000_000 + i)
                document.add_text("text", words[i])
                writer.add_document(document)
                writer.commit()
            raw.reload()

        with Index.open(copy) as index:
            index.add([Document("first", "loads what is loaded late")])
            ours = [cpu(lambda i=i: index.add([Document(f"new{i}", words[i])])) for i in range(10)]
        theirs = [cpu(lambda i=i: alone(i)) for i in range(10)]
    return {"ours": float(np.median(ours)) * 1000, "tantivy": float(np.median(theirs)) * 1000}


def memory(side: str, index: Path, static: Path | None) -> float:
    """Peak MiB of a new process that searches 20 times by one side."""
    command = [sys.executable, __file__, "--memory", side, str(index), str(static or "")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def searching(side: str, index: str, static: str) -> None:
    """What ``memory`` runs; the side "imports" searches nothing."""
    queries = synthetic.queries(synthetic.texts(1000), 20)
    if side != "imports":
        search = Sides(Path(index), Path(static) if side == "bm25s" else None).searches(100)[side]
        for query in queries:
            search(query)
    # Not ru_maxrss: it counts the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024)


def measured(
    index: Path, static: Path | None, queries: Sequence[str], *, real: bool = False
) -> dict[str, Any]:
    """All figures of searches in one index."""
    sides = Sides(index, static)
    count = sides.ours.count
    found: dict[str, Any] = {"documents": count, "segments": sides.searcher.num_segments}
    rng = np.random.default_rng(synthetic.SEED)
    found["searches"] = {k: sides.engine_searches(queries, k) for k in (10, 100)}
    found["search"] = {}
    for k in (10, 100):
        found["search"][f"top {k}"] = in_turn(sides.searches(k), queries)
        for share in SHARES:
            chosen = np.sort(rng.choice(count, int(share * count), replace=False)) + 1
            name = f"top {k} of {share:.1%}"
            some = queries[:: max(1, len(queries) // FILTERED_QUERIES)]
            found["search"][name] = in_turn(sides.searches(k, chosen), some)
    words = " ".join(synthetic.texts(200, seed=7)).split()
    for length, number in LONG.items():
        if not real and length * count <= 1_000_000_000:
            texts = [" ".join(words[i : i + length]) for i in range(number)]
            found["search"][f"top 100, {length:,} words"] = in_turn(sides.searches(100), texts)
    if not real:
        found["first stage"] = first_stage(index, queries)
        found["one more"] = one_more(index)
        names = ["imports", "ours", "tantivy", *(["bm25s"] if static else [])]
        found["memory"] = {side: memory(side, index, static) for side in names}
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def search_table(found: dict[str, Any]) -> str:
    """p50 and p95 of each side, and the ratio of ours to tantivy's p50."""
    headers = ["what", "ours p50", "p95", "tantivy p50", "p95", "bm25s p50", "p95"]
    rows = []
    for name, of in found["search"].items():
        static = of.get("bm25s", ["", ""])
        ratio = of["ours"][0] / of["tantivy"][0]
        met = "yes" if ratio <= TARGET else "**no**"
        rows.append([name, *of["ours"], *of["tantivy"], *static, ratio, met])
    return table([*headers, "ours / tantivy", f"at most {TARGET}"], rows)


def cost_table(results: dict[str, dict[str, Any]]) -> str:
    """Build, memory and one more document of each size."""
    rows = []
    for name, found in results.items():
        for what, unit in (("build", "CPU s"), ("memory", "MiB, peak"), ("one more", "CPU ms")):
            of = found.get(what, {})
            if of:
                sides = [of.get(side, "") for side in ("ours", "tantivy", "bm25s")]
                some = f", {of['imports']:.0f} by imports" if "imports" in of else ""
                rows.append([f"{name}: {what} ({unit}{some})", *sides])
        for k, times in found["searches"].items():
            rows.append([f"{name}: searches of tantivy for a query, top {k}", times, 1.0, ""])
    return table(["what", "ours", "tantivy", "bm25s"], rows)


def stage_table(results: dict[str, dict[str, Any]]) -> str:
    """p50 and p95 of the first stage of an index."""
    rows = [
        [f"{name}, {share} of the documents", *spent]
        for name, found in results.items()
        for share, spent in found.get("first stage", {}).items()
    ]
    return table(["top 10 among", "p50", "p95"], rows)


def growth_table(small: dict[str, Any], large: dict[str, Any]) -> str:
    """The exponent of the growth of each side's p50 between the smallest and the largest index."""
    sizes = math.log(large["documents"] / small["documents"])
    rows = []
    for what in ("top 10", "top 100"):
        of, than = large["search"][what], small["search"][what]
        both = [side for side in ("ours", "tantivy", "bm25s") if side in of and side in than]
        exponents = {side: math.log(of[side][0] / than[side][0]) / sizes for side in both}
        met = "yes" if exponents["ours"] < 1 else "**no**"
        rows.append([what, *(exponents.get(s, "") for s in ("ours", "tantivy", "bm25s")), met])
    return table(["what", "ours", "tantivy", "bm25s", "ours below 1"], rows)


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--indexes", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--bm25s", type=int, default=1_000_000)
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        searching(*arguments.memory)
        return
    queries = synthetic.queries(synthetic.texts(2_000), QUERIES)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.indexes or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for size in sorted(arguments.sizes):
            corpus = partial(growth.documents, size)
            built = folder / f"bm25-{size}", folder / f"bm25s-{size}"
            build = {"ours": kept(built[0], lambda path, of=corpus: make_ours(path, of()))}
            if size <= arguments.bm25s:
                build["bm25s"] = kept(built[1], lambda path, of=corpus: make_bm25s(path, of()))
            static = built[1] if "bm25s" in build else None
            results[f"{size:,}"] = {"build": build} | measured(built[0], static, queries)
        if SHARED.is_dir():
            built = folder / "bm25-real", folder / "bm25s-real"
            kept(built[0], lambda path: make_ours(path, real_documents()))
            kept(built[1], lambda path: make_bm25s(path, real_documents()))
            results["real texts"] = measured(*built, real_queries(), real=True)
    sections = {
        "What is measured": (
            "CPU milliseconds of one query at a time, the sides in turn; the load of the machine "
            f"was {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores. Documents of 60 words by "
            f"Zipf's law, {QUERIES} queries of 6 words. tantivy alone searches the same files for "
            "the same words, without the ties of the last hit. Filters allow some documents at "
            f"random ({FILTERED_QUERIES} queries): tantivy gets their ids as a set, bm25s as a "
            "mask, both made beforehand. bm25s builds from its own tokeniser, without stemming, "
            "and has to build again for one more document; our build includes SQLite."
        ),
        "Costs": cost_table(results),
        **{f"Searches: {name}": search_table(found) for name, found in results.items()},
        "The first stage of an index, with document ids and filters from SQLite": stage_table(
            results
        ),
    }
    sizes = [f"{size:,}" for size in sorted(arguments.sizes)]
    if len(sizes) > 1:
        sections["Growth: the exponent between the smallest and the largest index"] = growth_table(
            results[sizes[0]], results[sizes[-1]]
        )
    print(write("bm25-scale", "BM25 at scale", "make bench-bm25", sections, results))


if __name__ == "__main__":
    main()
