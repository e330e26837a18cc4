"""A reranker behind a URL: text-embeddings-inference, Cohere, Jina, vLLM, or ``serve`` itself."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import whole_number
from rerank_search.errors import InvalidInputError, ServerError
from rerank_search.http_calls.chunks import AT_ONCE, Chunks
from rerank_search.http_calls.model_server import finite_number
from rerank_search.http_calls.replicas import Replicas
from rerank_search.queries import check_instruction
from rerank_search.reranking.pairs import checked_pairs
from rerank_search.shown import shown

RerankApi: TypeAlias = Literal["tei", "rerank", "score"]
"""How a server is asked: as text-embeddings-inference, as Cohere, Jina and vLLM are, or by vLLM's
``/score``."""

_BY_PATH: Mapping[str, RerankApi] = {
    "/v1/rerank": "rerank",
    "/v2/rerank": "rerank",
    "/rerank": "tei",
    "/score": "score",
}
"""The API at the end of a URL; the first that fits."""

_RESULTS: Mapping[RerankApi, tuple[str | None, str]] = {
    "tei": (None, "score"),
    "rerank": ("results", "relevance_score"),
    "score": ("data", "score"),
}
"""For each API, the field of the answer that lists the results, and the score of each."""

_PROBE = [("how is bread made", "Bread is baked."), ("how is bread made", "A film about trains.")]

Pairs: TypeAlias = Sequence[tuple[str, str]]


class RemoteReranker:
    """Scores (query, text) pairs with the model of a server. Threads may share one.

    ``url`` is the full URL of the API, and after a # the name of the model there if the server
    has several. Several URLs, separated by commas, are of servers of the same model: each request
    goes to the one with the fewest outstanding requests, and to another one if that fails. ``api``
    None follows from the URL's path:

    - ``/rerank`` is text-embeddings-inference (or ``rerank-search serve``): scores are raw logits.
    - ``/v1/rerank`` and ``/v2/rerank`` are the API of Cohere, Jina, vLLM and others.
    - ``/score`` is vLLM's.

    An instruction is sent as ``instruction`` by the last two.

    Scores are the server's own, by the place of each pair in the request. Only the first API gives
    logits; others give what they call a relevance score, mostly in [0, 1].

    ``api_key`` None takes the environment variable RERANK_SEARCH_KEY_ and the host's name
    (RERANK_SEARCH_KEY_API_JINA_AI). A request has at most ``pairs_at_once`` pairs; a server that
    takes fewer (413) gets fewer. ``timeout`` and ``retries`` are those of ``rerank_search.Client``:
    429, 503 and broken connections are tried again, other errors are not. With several URLs an
    answer of 500 or above, and one that takes longer than ``timeout``, are another server's turn.
    A server that fails is set aside for half a second, and for up to 30 s if it goes on.
    ``hedge_after`` is the number of seconds after which another server gets a request too; the
    first answer counts, and the other request is ended.

        >>> reranker = RemoteReranker("http://127.0.0.1:8080/rerank")
        >>> searcher = Searcher(index, reranker="http://127.0.0.1:8080/rerank")

    Raises InvalidInputError for invalid arguments, ModelNotFoundError for another machine's URL if
    RERANK_SEARCH_OFFLINE is set.
    """

    def __init__(
        self,
        url: str,
        *,
        api: RerankApi | None = None,
        api_key: str | None = None,
        pairs_at_once: int = AT_ONCE,
        timeout: float = 60.0,
        retries: int = 3,
        hedge_after: float | None = None,
    ) -> None:
        calling: dict[str, Any] = {
            "timeout": timeout,
            "retries": retries,
            "hedge_after": hedge_after,
        }
        self._settings = {"pairs_at_once": pairs_at_once, **calling}
        self._has_key = api_key is not None
        self._replicas = Replicas(url, api_key=api_key, **calling)
        self._replicas.check_allowed()
        servers = self._replicas.servers
        self._chunks = Chunks(whole_number("pairs_at_once", pairs_at_once), servers=len(servers))
        self._api = _api_of([server.url for server in servers], api)
        self.name = url

    def __repr__(self) -> str:
        return f"RemoteReranker({shown(self.name)}, api={self._api!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as URL and settings. Raises InvalidInputError if it was given a key."""
        if self._has_key:
            raise InvalidInputError(
                "a RemoteReranker with an api_key cannot be pickled or copied, since the key would "
                "be in the pickle: set the environment variable instead"
            )
        return partial(RemoteReranker, api=self._api, **self._settings), (self.name,)

    @property
    def fingerprint(self) -> str:
        """A hash that differs for another model behind the URL, as 32 hex digits.

        The server is asked to score two short pairs. Raises ServerError.
        """
        scores = [f"{value:.3f}" for value in self.score(_PROBE).tolist()]
        described = f"{self.name} {self._api} {scores}"
        return hashlib.sha256(described.encode()).hexdigest()[:32]

    @property
    def takes_instructions(self) -> bool:
        """Whether the API has a place for one; a server may refuse it nevertheless."""
        return self._api != "tei"

    def score(self, pairs: Pairs, *, instruction: str | None = None) -> NDArray[np.float32]:
        """The server's scores of the pairs, shape (n,), float32; higher is better.

        Raises InvalidInputError for anything but pairs of strings, ServerError if the server
        refuses the pairs, cannot be reached, or gives an answer that is not one score for each.
        """
        return self._scored(checked_pairs(pairs), math.inf, self._told(instruction))

    def score_within(
        self, pairs: Pairs, seconds: float, *, instruction: str | None = None
    ) -> NDArray[np.float32] | None:
        """As ``score``; None if the server does not answer in time."""
        until = time.monotonic() + seconds
        try:
            return self._scored(checked_pairs(pairs), until, self._told(instruction))
        except ServerError as error:
            if error.type == "timeout":
                return None
            raise

    def activated(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores for display: the sigmoid of logits, and other scores as they are."""
        if self._api != "tei":
            return scores
        return np.exp(-np.logaddexp(0.0, -scores)).astype(np.float32)

    def close(self) -> None:
        """Close the connections; a later call makes new ones."""
        self._replicas.close()

    def _told(self, instruction: str | None) -> dict[str, str]:
        """The field of a request for an instruction. Raises InvalidInputError."""
        if instruction is None:
            return {}
        check_instruction(instruction)
        if not self.takes_instructions:
            raise InvalidInputError(
                f"the reranker {self.name!r} takes no instruction, since the API of "
                "text-embeddings-inference has no field for it: leave it out"
            )
        return {"instruction": instruction}

    def _scored(self, pairs: Pairs, until: float, told: Mapping[str, str]) -> NDArray[np.float32]:
        ask = partial(self._asked, until=until, told=told)
        return np.array(self._chunks.answers(ask, self._lists(pairs)), dtype=np.float32)

    def _lists(self, pairs: Pairs) -> list[Pairs]:
        """The pairs in lists that one request may have: most APIs take one query a request."""
        if self._api == "score":
            return [pairs]
        return [list(own) for _, own in groupby(pairs, itemgetter(0))]

    def _asked(self, pairs: Pairs, until: float, told: Mapping[str, str]) -> list[float]:
        """The server's scores of a chunk."""
        texts = [text for _, text in pairs]
        body: dict[str, Any]
        if self._api == "tei":
            body = {"query": pairs[0][0], "texts": texts, "raw_scores": True, "truncate": True}
        elif self._api == "rerank":
            body = {"query": pairs[0][0], "documents": texts}
        else:
            body = {"text_1": [query for query, _ in pairs], "text_2": texts}
        server, answer = self._replicas.ask({**body, **told}, until=until)
        return server.in_order(answer, *_RESULTS[self._api], len(pairs), finite_number)


def _api_of(urls: Sequence[str], given: RerankApi | None) -> RerankApi:
    if given is not None:
        if given not in get_args(RerankApi):
            raise InvalidInputError(
                f"api={shown(given)} is unknown: use one of {', '.join(get_args(RerankApi))}"
            )
        return given
    apis = {_api_by_path(url) for url in urls}
    if len(apis) > 1:
        raise InvalidInputError(
            f"the URLs {', '.join(map(shown, urls))} have different APIs, whose scores cannot be "
            "compared: use URLs that end with the same path, or give api"
        )
    return apis.pop()


def _api_by_path(url: str) -> RerankApi:
    for path, api in _BY_PATH.items():
        if url.endswith(path):
            return api
    raise InvalidInputError(
        f"the URL {shown(url)} does not end with the path of a rerank API: use one that ends with "
        f"{', '.join(_BY_PATH)}, or RemoteReranker(url, api=...)"
    )
