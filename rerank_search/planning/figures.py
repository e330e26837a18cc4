"""The figures of a plan, each with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rerank_search.planning.costs import Costs
from rerank_search.planning.fleet import Fleet
from rerank_search.planning.goal import Assumptions
from rerank_search.planning.growth import largest
from rerank_search.planning.profile import Profile, Timed
from rerank_search.planning.queueing import response
from rerank_search.shown import counted

Kind = Literal["derived", "measured", "assumed"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: ``source`` says how it was derived or measured, or why it is assumed.

    ``where`` is the machine on which it was measured; None for others.
    """

    name: str
    value: float
    unit: str
    kind: Kind
    source: str
    where: str | None = None


def measured_figures(costs: Costs) -> list[Figure]:
    """The measured costs that a plan uses."""
    return [*_of_searching(costs), *_of_models(costs)]


def _of_searching(costs: Costs) -> Iterator[Figure]:
    where, goal, text = _where(costs.searching), costs.goal, costs.searching.text

    def figure(name: str, value: float, unit: str, how: str) -> Figure:
        return Figure(name, value, unit, "measured", how, where)

    yield figure("memory of a process", costs.searching.process_bytes, "bytes", "its peak")
    in_words = f"in {largest(text.searches).size:,} words"
    yield figure("documents on disk", text.document_bytes_per_word, "bytes a word", in_words)
    if goal.has_text:
        yield figure("BM25 on disk", text.bm25_bytes_per_word, "bytes a word", in_words)
        for each in text.searches:
            yield figure("a search by BM25", *_mean_ms(each), f"in {each.size:,} words")
        yield figure("building BM25", text.build_seconds_per_word * 1e6, "µs a word", in_words)
    if goal.has_vectors:
        vectors = costs.vectors
        by_graph = goal.vector_search == "graph"
        calls = vectors.graph if by_graph else vectors.exact
        kind = f"vectors in {vectors.dtype}, of {vectors.dimension} numbers"
        if by_graph:
            links, how = vectors.graph_bytes_per_vector, f"{largest(calls).size:,} {kind}"
            yield figure("links of the graph", links, "bytes a vector", how)
            seconds = vectors.graph_build_seconds_per_vector
            yield figure("building the graph", seconds * 1e6, "µs a vector", how)
        name = "a search by the graph" if by_graph else "a search of all vectors"
        for each in calls:
            yield figure(name, *_mean_ms(each), f"in {each.size:,} {kind}")


def _of_models(costs: Costs) -> Iterator[Figure]:
    encoder = costs.reranking.encoder

    def figure(name: str, value: float, unit: str, how: str) -> Figure:
        return Figure(name, value, unit, "measured", how, _where(costs.reranking))

    if costs.goal.has_vectors:
        mean = float(np.mean(encoder.queries)) * 1000
        yield figure("encoding a query", mean, "ms", encoder.name)
        texts = largest(encoder.texts)
        speed = texts.size / float(np.mean(texts.seconds))
        yield figure("encoding texts", speed, "tokens/s", encoder.name)
    for each in costs.reranker.calls:
        yield figure("reranking", *_mean_ms(each), f"{each.size:,} tokens, {costs.reranker.label}")


def assumed_figures(costs: Costs) -> list[Figure]:
    """The assumptions of a plan, and why they are made."""
    fields = Assumptions.model_fields
    return [
        Figure(name, float(value), "", "assumed", fields[name].description or "")
        for name, value in costs.assumptions.model_dump().items()
    ]


def derived_figures(costs: Costs, fleet: Fleet) -> list[Figure]:
    """What the goal takes, and how it follows from the others."""
    return list(_derived(costs, fleet))


def _derived(costs: Costs, fleet: Fleet) -> Iterator[Figure]:
    goal = costs.goal
    shard = goal.documents / fleet.shards

    def figure(name: str, value: float, unit: str, how: str) -> Figure:
        return Figure(name, value, unit, "derived", how)

    fewest = -(-goal.documents // costs.documents_per_machine)
    why = f"{fewest:,} by memory" + ("" if fleet.shards == fewest else ", more to be faster")
    _, search, models = fleet.stages
    yield figure("shards", fleet.shards, "", why)
    yield figure("replicas of each shard", fleet.replicas, "", _busy(search.utilisation))
    yield figure("machines that search", fleet.searchers, "", "shards times replicas")
    unit = "GPUs" if costs.on_gpu else "machines"
    yield figure(f"{unit} that rerank", fleet.rerankers, "", _busy(models.utilisation))
    per = counted(round(shard), "document")
    yield figure("memory of a shard", shard * costs.memory_per_document, "bytes", per)
    yield figure("disk of a shard", shard * costs.disk_per_document, "bytes", per)
    copies = fleet.searchers * shard
    yield figure(
        "memory of all shards", copies * costs.memory_per_document, "bytes", "with replicas"
    )
    yield figure("disk of all shards", copies * costs.disk_per_document, "bytes", "with replicas")
    yield from (
        figure(f"{name}, p99", response([stage], waits=waits).percentile(0.99) * 1000, "ms", how)
        for name, stage in (("first stage", search), ("models", models))
        for waits, how in ((False, "a request alone"), (True, "at this load"))
    )
    for share in (0.5, 0.99):
        name = f"a request, p{share * 100:.0f}"
        yield figure(name, fleet.times.percentile(share) * 1000, "ms", "at this load")
    yield figure("pairs", costs.pairs_per_second, "pairs/s", f"of one of the {unit}")
    beyond = _beyond(costs, shard)
    yield figure("a shard above what was measured", beyond, "times", "times are extrapolated")
    if goal.has_vectors:
        hours = costs.encode_seconds * goal.documents / fleet.rerankers / 3600
        yield figure("encoding all documents", hours, "hours", f"on the {unit} that rerank")
    hours = costs.build_seconds * shard / 3600
    yield figure("building a shard", hours, "hours", "after encoding, on its machine")


def _beyond(costs: Costs, documents: float) -> float:
    """How many times as large a shard is as the largest index that was measured."""
    goal, found = costs.goal, []
    if goal.has_text:
        found.append(documents * costs.indexed_words / largest(costs.searching.text.searches).size)
    if goal.has_vectors:
        graph = goal.vector_search == "graph"
        calls = costs.vectors.graph if graph else costs.vectors.exact
        found.append(documents * costs.passages / largest(calls).size)
    return max(found)


def _busy(utilisation: float) -> str:
    return f"busy for {utilisation:.0%} of the time"


def _mean_ms(each: Timed) -> tuple[float, str]:
    return float(np.mean(each.seconds)) * 1000, "ms"


def _where(profile: Profile) -> str:
    machine = profile.machine
    device = "" if machine.device == "cpu" else f", {machine.device}"
    return f"{machine.processor}, {counted(machine.cores, 'core')}{device}, {profile.measured}"
