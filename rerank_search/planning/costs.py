"""What a goal costs on measured machines: bytes and seconds of shards, queries and documents."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from rerank_search.planning.goal import Assumptions, Goal
from rerank_search.planning.growth import Line, doublings, largest, line, spread
from rerank_search.planning.profile import Profile, RerankerCosts, VectorCosts
from rerank_search.planning.queueing import Seconds
from rerank_search.storage.passages import Passages

NUMBER_BYTES = {"float32": 4, "float16": 2, "int8": 1}
"""Bytes of a number of a vector."""

ROW_BYTES = 16
"""Bytes in memory for the id of a vector and for its place in the order of ids."""

OWN_TOKENS = 3
"""Tokens that a model adds to a pair."""


@dataclass(frozen=True)
class Costs:
    """The costs of a goal, from the profile of the machines that search and of those that rerank.

    A machine that reranks also encodes: queries, and documents while they are indexed.
    """

    goal: Goal
    searching: Profile
    reranking: Profile
    assumptions: Assumptions = field(default_factory=Assumptions)

    @property
    def reranker(self) -> RerankerCosts:
        """The measured costs of the goal's reranker."""
        return self.reranking.reranker(self.goal.reranker)

    @property
    def vectors(self) -> VectorCosts:
        """The measured costs of the goal's vectors."""
        return self.searching.vectors_in(self.goal.vector_dtype)

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self.goal.dimension or self.reranking.encoder.dimension

    @property
    def cores(self) -> int:
        """Cores of a machine that searches."""
        return self.goal.cores or self.searching.machine.cores

    @property
    def memory_bytes(self) -> float:
        """Memory of a machine that searches."""
        given = self.goal.memory_gb
        return self.searching.machine.memory_bytes if given is None else given * 1e9

    @property
    def on_gpu(self) -> bool:
        """Whether the models run on a GPU."""
        return not self.reranking.machine.device.startswith("cpu")

    # Texts

    @property
    def document_tokens(self) -> float:
        """Tokens of a document."""
        return self.goal.words * self.assumptions.tokens_per_word

    @property
    def passages(self) -> int:
        """Passages of a document; each has a vector."""
        length = self.reranking.encoder.passage_tokens
        if self.document_tokens <= length:
            return 1
        return 1 + math.ceil((self.document_tokens - length) / (length - self._shared_tokens))

    @property
    def _shared_tokens(self) -> int:
        """Tokens that two neighbouring passages share."""
        return min(Passages().overlap, self.reranking.encoder.passage_tokens // 2)

    @property
    def indexed_tokens(self) -> float:
        """Tokens of all passages of a document; those that two share count twice."""
        return self.document_tokens + (self.passages - 1) * self._shared_tokens

    @property
    def indexed_words(self) -> float:
        """Words of all passages of a document; those that two share count twice."""
        return self.goal.words * self.indexed_tokens / self.document_tokens

    @property
    def passage_tokens(self) -> float:
        """Tokens of a passage."""
        return min(self.document_tokens, self.reranking.encoder.passage_tokens)

    @property
    def pair_tokens(self) -> float:
        """Tokens of a query and a passage, as the reranker reads them."""
        both = self.passage_tokens + self.assumptions.query_tokens + OWN_TOKENS
        return min(both, self.reranker.window)

    # Bytes

    @property
    def vector_bytes(self) -> int:
        """Bytes of a vector alone."""
        return self.dimension * NUMBER_BYTES[self.goal.vector_dtype]

    @property
    def graph_bytes(self) -> float:
        """Bytes of a vector's links in the graph; 0 without one."""
        return self.vectors.graph_bytes_per_vector if self.goal.vector_search == "graph" else 0.0

    @property
    def text_bytes(self) -> float:
        """Bytes of a document on disk, outside of the first stages."""
        return self.goal.words * self.searching.text.document_bytes_per_word

    @property
    def bm25_bytes(self) -> float:
        """Bytes of a document's postings; 0 without BM25."""
        own = self.indexed_words * self.searching.text.bm25_bytes_per_word
        return own if self.goal.has_text else 0.0

    @property
    def dense_bytes(self) -> float:
        """Bytes of a document's vectors on disk, with the graph; 0 without vectors."""
        if not self.goal.has_vectors:
            return 0.0
        return self.passages * (self.vector_bytes + self.graph_bytes)

    @property
    def memory_per_document(self) -> float:
        """Bytes in memory: vectors and graph, and BM25's files, which the system keeps there."""
        ids = self.passages * ROW_BYTES if self.goal.has_vectors else 0
        return self.bm25_bytes + self.dense_bytes + ids

    @property
    def disk_per_document(self) -> float:
        """Bytes on disk, with the room that merging needs."""
        files = self.text_bytes + self.bm25_bytes + self.dense_bytes
        return files * self.assumptions.disk_copies

    @property
    def documents_per_machine(self) -> int:
        """Documents that fit into the memory of a machine; 0 if not even a process fits."""
        room = self.memory_bytes * self.assumptions.memory_share - self.searching.process_bytes
        return max(0, int(room / self.memory_per_document))

    # Seconds of a query

    def search_seconds(self, documents: float) -> Seconds:
        """Times of the first stage in a shard, while all cores search; one core each.

        In hybrid one search follows the other. A query that is slow in one is taken as slow in the
        other.
        """
        total = np.zeros(1)
        if self.goal.has_text:
            calls = self.searching.text.searches
            total = total + line(calls).at(documents * self.indexed_words) * spread(
                largest(calls).seconds
            )
        if self.goal.has_vectors:
            vectors = documents * self.passages
            longer = self.dimension / self.vectors.dimension
            by_graph = self.goal.vector_search == "graph"
            calls = self.vectors.graph if by_graph else self.vectors.exact
            own = (
                line(calls, doublings).at(doublings(vectors))
                if by_graph
                else line(calls).at(vectors)
            )
            total = total + own * longer * spread(largest(calls).seconds)
        return total

    @property
    def query_seconds(self) -> float:
        """Mean time to encode a query; 0 without vectors."""
        return float(np.mean(self.reranking.encoder.queries)) if self.goal.has_vectors else 0.0

    @property
    def rerank_seconds(self) -> Seconds:
        """Times of reranking one query's candidates on one machine, or one GPU."""
        own = line(self.reranker.calls)
        tokens = self.goal.candidates * self.pair_tokens
        return self._scaled(own).at(tokens) * spread(largest(self.reranker.calls).seconds)

    @property
    def model_seconds(self) -> Seconds:
        """Times that one query takes of a machine that reranks: encoding, reranking and HTTP."""
        return self.rerank_seconds + self.query_seconds + self.assumptions.server_ms / 1000

    @property
    def pairs_per_second(self) -> float:
        """Pairs that one machine, or one GPU, reranks in a second."""
        return self.goal.candidates / float(self.rerank_seconds.mean())

    def _scaled(self, own: Line) -> Line:
        """Times of a model on the goal's number of cores: the more, the faster, on a CPU."""
        if self.on_gpu or self.goal.cores is None:
            return own
        return own.times(self.reranking.machine.cores / self.goal.cores)

    # Seconds of a document, while it is indexed

    @property
    def encoded_tokens_per_second(self) -> float:
        """Tokens of documents that one machine, or one GPU, encodes in a second."""
        calls = largest(self.reranking.encoder.texts)
        per_token = float(np.mean(calls.seconds)) / calls.size
        return 1 / self._scaled(Line(0.0, per_token)).per

    @property
    def encode_seconds(self) -> float:
        """Time to encode a document on one machine, or one GPU; 0 without vectors."""
        tokens = self.indexed_tokens if self.goal.has_vectors else 0.0
        return tokens / self.encoded_tokens_per_second

    @property
    def build_seconds(self) -> float:
        """Time to add an encoded document to the first stages of a machine."""
        text = self.indexed_words * self.searching.text.build_seconds_per_word
        by_graph = self.goal.has_vectors and self.goal.vector_search == "graph"
        graph = self.passages * self.vectors.graph_build_seconds_per_vector if by_graph else 0.0
        return (text if self.goal.has_text else 0.0) + graph
