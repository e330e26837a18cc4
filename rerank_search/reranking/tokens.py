"""One text as tokens, by a tokenizer of the tokenizers library or one written in Python."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.models.beginnings import completed, first_characters, longest_word_of
from rerank_search.types import Span

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Tokens: TypeAlias = NDArray[np.integer[Any]]


class Text(NamedTuple):
    """A text's tokens, and the characters that each stands for."""

    ids: Tokens
    offsets: Sequence[Span]


class Sample(NamedTuple):
    """A pair of two short texts: its tokens, their types, and the side of each.

    ``sides`` has 0 for the query, 1 for the text, -1 for special tokens.
    """

    ids: Tokens
    types: Tokens
    sides: Tokens


class TextTokenizer(Protocol):
    """Tokenises single texts, without special tokens. Threads may share one."""

    @property
    def identity(self) -> object:
        """A value that is equal only for tokenizers with the same tokens for every text."""
        ...

    @property
    def size(self) -> int:
        """The number of different tokens."""
        ...

    def sample(self) -> Sample:
        """A sample pair, which shows the layout."""
        ...

    def beginnings(self, texts: Sequence[str], wanted: int) -> list[Tokens]:
        """At least the first ``wanted`` tokens of each text, or all if it has fewer."""
        ...

    def texts(self, texts: Sequence[str]) -> list[Text]:
        """All tokens of each text."""
        ...


def text_tokenizer(tokenizer: Any) -> TextTokenizer:
    """A TextTokenizer with the tokens of a transformers tokenizer."""
    return FastTextTokenizer(tokenizer) if tokenizer.is_fast else _Slow(tokenizer)


class FastTextTokenizer:
    """A TextTokenizer with a copy of the tokenizer that nothing ever changes.

    A tokenizer whose truncation is set in each call fails with "Already borrowed" in threads.
    """

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._longest_word = longest_word_of(self._tokenizer)

    @property
    def identity(self) -> object:
        """The whole tokenizer, as text."""
        return self._tokenizer.to_str()

    @property
    def size(self) -> int:
        """The number of different tokens."""
        return self._tokenizer.get_vocab_size()

    def sample(self) -> Sample:
        """A sample pair, which shows the layout."""
        sample = self._tokenizer.encode("a", "a")
        sides = np.array([-1 if side is None else side for side in sample.sequence_ids])
        return Sample(np.array(sample.ids), np.array(sample.type_ids), sides)

    def beginnings(self, texts: Sequence[str], wanted: int) -> list[Tokens]:
        """At least the first ``wanted`` tokens of each text, or all if it has fewer."""
        heads = [first_characters(text, wanted) for text in texts]
        # The fast method leaves out the offsets of tokens.
        encodings = self._tokenizer.encode_batch_fast(heads, add_special_tokens=False)
        found = [
            completed(text, head, encoding, wanted, self._encoding, self._longest_word)[1]
            for text, head, encoding in zip(texts, heads, encodings, strict=True)
        ]
        return [np.asarray(encoding.ids, dtype=np.int64) for encoding in found]

    def beginning(self, text: str, wanted: int) -> str:
        """Enough of a text for its first ``wanted`` tokens, or all of it."""
        head = first_characters(text, wanted)
        if len(head) == len(text):
            return text
        return completed(
            text, head, self._encoding(head), wanted, self._encoding, self._longest_word
        )[0]

    def texts(self, texts: Sequence[str]) -> list[Text]:
        """All tokens of each text."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            Text(np.asarray(encoding.ids, dtype=np.int64), encoding.offsets)
            for encoding in encodings
        ]

    def _encoding(self, text: str) -> Encoding:
        return self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]


class _Slow:
    """Tokenises with a tokenizer written in Python, which has no offsets of tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()  # their libraries (MeCab, ...) may not be thread-safe
        self.identity = object()

    @property
    def size(self) -> int:
        return len(self._tokenizer)

    def sample(self) -> Sample:
        query, text = [-1], [-2]  # no tokenizer has negative tokens
        ids = np.array(self._tokenizer.build_inputs_with_special_tokens(query, text))
        types = np.array(self._tokenizer.create_token_type_ids_from_sequences(query, text))
        sides = np.where(ids == query[0], 0, np.where(ids == text[0], 1, -1))
        return Sample(ids, types, sides)

    def beginnings(self, texts: Sequence[str], wanted: int) -> list[Tokens]:
        heads = [first_characters(text, wanted) for text in texts]
        with self._lock:
            found = [
                completed(text, head, self._ids(head), wanted, self._ids)[1]
                for text, head in zip(texts, heads, strict=True)
            ]
        return [np.asarray(ids, dtype=np.int64) for ids in found]

    def texts(self, texts: Sequence[str]) -> list[Text]:
        raise InvalidInputError(
            "long_documents='max_passage' needs the position of each token, which "
            f"{type(self._tokenizer).__name__} does not give: use long_documents='truncate'"
        )

    def _ids(self, text: str) -> list[int]:
        tokenizer = self._tokenizer
        ids: list[int] = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
        return ids
