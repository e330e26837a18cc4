"""An encoder behind a URL, by OpenAI's embeddings API: OpenAI, Ollama, vLLM, TEI, infinity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.http_calls.chunks import AT_ONCE, Chunks
from rerank_search.http_calls.model_server import ModelServer, finite_number
from rerank_search.models.prompts import Prompts, Task, checked_prompt
from rerank_search.queries import text_list
from rerank_search.shown import shown
from rerank_search.storage.boundaries import words

PATH = "/embeddings"
"""The end of the API's path, which is /v1/embeddings on most servers."""

_PROBE = "An encoder is known by its vector of this sentence."


class RemoteEncoder:
    """Makes vectors by the model of a server. Threads may share one.

    ``name`` is the full URL of the API, and after a # the name of the model there. The prompts are
    put before queries and documents here; they are those that the model's makers name.
    ``truncate_dim`` has the server shorten vectors, if the model was trained for that.

    The server cuts texts at the model's window or refuses them, as it is set up to; the tokens of
    a passage are counted in words and punctuation marks. ``api_key``, ``timeout`` and ``retries``
    as in RemoteReranker. A request has at most ``texts_at_once`` texts; a server that takes fewer
    (413) gets fewer.

        >>> encoder = RemoteEncoder("http://127.0.0.1:11434/v1/embeddings#nomic-embed-text")
        >>> index = Index.create("indexes/notes", encoder=encoder)

    Raises InvalidInputError for invalid arguments. Methods that ask the server raise ServerError if
    it cannot be reached, refuses the texts or gives an answer that is not one vector for each, and
    ModelNotFoundError for another machine's URL if RERANK_SEARCH_OFFLINE is set.
    """

    revision: str | None = None
    pooling: str | None = None
    may_change = True

    def __init__(
        self,
        name: str,
        *,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        truncate_dim: int | None = None,
        api_key: str | None = None,
        texts_at_once: int = AT_ONCE,
        timeout: float = 60.0,
        retries: int = 3,
    ) -> None:
        self.query_prompt = checked_prompt("query_prompt", query_prompt)
        self.document_prompt = checked_prompt("document_prompt", document_prompt)
        self.truncate_dim = truncate_dim
        self._settings: Mapping[str, Any] = {
            "query_prompt": query_prompt,
            "document_prompt": document_prompt,
            "truncate_dim": truncate_dim,
            "texts_at_once": texts_at_once,
            "timeout": timeout,
            "retries": retries,
        }
        self._has_key = api_key is not None
        self._server = ModelServer(name, api_key=api_key, timeout=timeout, retries=retries)
        if not self._server.url.endswith(PATH):
            raise InvalidInputError(
                f"the URL {shown(self._server.url)} does not end with {PATH}: give the full URL of "
                "an embeddings API, such as http://HOST:PORT/v1/embeddings"
            )
        if truncate_dim is not None:
            whole_number("truncate_dim", truncate_dim)
        self._chunks = Chunks(whole_number("texts_at_once", texts_at_once))
        self._prompts = Prompts(query=query_prompt or "", document=document_prompt or "")
        self.name = name

    def __repr__(self) -> str:
        return f"RemoteEncoder({shown(self.name)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as URL and settings. Raises InvalidInputError if it was given a key."""
        if self._has_key:
            raise InvalidInputError(
                "a RemoteEncoder with an api_key cannot be pickled or copied, since the key would "
                "be in the pickle: set the environment variable instead"
            )
        return partial(RemoteEncoder, **self._settings), (self.name,)

    @property
    def prompts(self) -> Prompts:
        """The prompts put before queries and before documents."""
        return self._prompts

    @property
    def unused_prompts(self) -> list[str]:
        """Nothing: the prompts of the server's model are not known here."""
        return []

    @property
    def tells_tasks_apart(self) -> bool:
        """Whether the vector of a text depends on its task."""
        return self._prompts != Prompts()

    @cached_property
    def dimension(self) -> int:
        """The length of a vector; the server is asked once."""
        return len(self._found([_PROBE])[0])

    @property
    def window(self) -> int | None:
        """None: the window of the server's model is not known here."""
        return None

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end in characters of each word and punctuation mark, in place of tokens."""
        return words(text)

    def check_found(self) -> None:
        """Raise ModelNotFoundError for another machine's URL if RERANK_SEARCH_OFFLINE is set."""
        self._server.check_allowed()

    def identity(self) -> list[str]:
        """The URL and a vector, which is another one for another model. Asks the server."""
        vector = self._found([_PROBE])[0]
        return [self.name, *(f"{value:.2f}" for value in vector.tolist())]

    def encode(
        self, texts: Sequence[str], *, task: Task | None = None, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """Vectors of length 1, shape (n, d), float32, of the texts with the prompt before each.

        ``task`` has no effect: the API knows no tasks. Raises InvalidInputError for anything but
        strings that UTF-8 can encode.
        """
        if not (checked := text_list(texts)):
            return np.empty((0, self.dimension), dtype=np.float32)
        return self._found([f"{prompt or ''}{text}" for text in checked])

    def close(self) -> None:
        """Close the connections; a later call makes new ones."""
        self._server.close()

    def _found(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = self._chunks.answers(self._asked, [texts])
        lengths = {len(row) for row in rows}
        if len(lengths) != 1:
            raise self._server.unreadable(f"it has vectors of {sorted(lengths)} numbers")
        found = np.array(rows, dtype=np.float64)  # in which no square is too large or too small
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        if not (norms > 0).all():
            raise self._server.unreadable("it has a vector that is zero")
        unit: NDArray[np.float32] = (found / norms).astype(np.float32)
        return unit

    def _asked(self, texts: Sequence[str]) -> list[list[float]]:
        """The server's vectors of a chunk."""
        body: dict[str, Any] = {"input": list(texts), "encoding_format": "float"}
        if (dimensions := self.truncate_dim) is not None:
            body["dimensions"] = dimensions
        answer = self._server.ask(body)
        return self._server.in_order(answer, "data", "embedding", len(texts), _numbers)


def _numbers(vector: Any) -> list[float]:
    if not isinstance(vector, list):
        raise ValueError(f"not a list of numbers: {shown(vector)}")
    return [finite_number(value) for value in vector]
