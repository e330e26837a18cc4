"""What goes into a generator's prompt: the best passages of a search, up to a number of tokens.

response = searcher.search("how do I join two paths", passages_per_document=3)
context = pack(response, tokens=3000)
prompt = f"Answer from these sources, and cite them by number.\\n\\n{context.text}"
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from rerank_search.arguments import check_function, several, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.models.registry import DEFAULT_RERANKER, resolve_reranker
from rerank_search.shown import shown
from rerank_search.storage.passages import SENTENCE_END
from rerank_search.types import Document, Hit, SearchResponse, Span

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CountTokens: TypeAlias = Callable[[str], int | Sized]
"""A function that gives a text's tokens or their number, such as a tokenizer's ``encode``."""

Url: TypeAlias = Callable[[Document], str | None]
"""A function that gives the address of a document, or None if it has none."""

GAP = "\n...\n"
"""The line between two passages of one document that do not touch."""

_Taken: TypeAlias = Mapping[int, tuple[Span, ...]]
_Side: TypeAlias = Callable[[str, Span], Span]

_SEPARATOR = "\n\n"
_WINDOW = 4_000
"""Characters before and after a passage in which its neighbouring sentences are looked for."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A document in a context. ``number`` is how the context names it, as in ``[1]``.

    ``spans`` are the parts of its text that the context has, in the order of the text. ``score`` is
    that of its hit.
    """

    number: int
    id: str
    title: str
    url: str | None
    spans: tuple[Span, ...]
    score: float


@dataclass(frozen=True, slots=True)
class Context:
    """A part of a prompt. ``tokens`` counts those of ``text``.

    ``citations`` are its documents, and ``blocks`` the text of each, in the order of the hits.
    """

    text: str
    tokens: int
    citations: tuple[Citation, ...]
    blocks: tuple[str, ...]

    def parts(self) -> list[dict[str, str]]:
        """A text part for each document, as the messages of OpenAI's and Anthropic's APIs have."""
        return [{"type": "text", "text": block} for block in self.blocks]


def pack(
    found: SearchResponse | Iterable[Hit],
    *,
    tokens: int = 3_000,
    count: CountTokens | None = None,
    neighbours: int = 2,
    url: Url | None = None,
) -> Context:
    """The best passages of the hits that fit into ``tokens``, with their neighbours.

    Passages are taken by score; one that no longer fits is left out, and the best one is cut if it
    does not fit alone. Then each is extended, the best first, by up to ``neighbours`` sentences on
    either side while they fit. Passages of one document that overlap or touch become one. The same
    hits always give the same context.

    ``count`` counts the generator's tokens, such as ``tiktoken.get_encoding("o200k_base").encode``;
    by default tokens of the bundled reranker are counted. ``url`` gives the address of a document,
    by default its metadata's ``url``.

    Raises InvalidInputError for anything but hits with their documents.
    """
    most = whole_number("tokens", tokens)
    neighbours = whole_number("neighbours", neighbours, least=0)
    for name, function in (("count", count), ("url", url)):
        if function is not None:
            check_function(name, function)
    given = found.hits if isinstance(found, SearchResponse) else several("found", found, one="hits")
    page = _Page([_checked(hit) for hit in given], url or _own_url, count or _bundled_tokens)
    steps: list[_Taken] = [{}]
    for place, span in page.best_first:
        wider = _with(steps[-1], place, span)
        if page.estimate(wider) <= most:
            steps.append(wider)
        elif (place, span) == page.best_first[0]:
            beginnings = page.beginnings(place, span)
            steps += beginnings[: bisect_right(beginnings, most, key=page.estimate)]
    for _ in range(neighbours):
        for place, span in page.best_first:
            for side in (_with_next_sentence, _with_sentence_before):
                wider = page.extended(steps[-1], place, span, side)
                if page.estimate(wider) <= most:
                    steps.append(wider)
    while page.tokens(steps[-1]) > most:  # the whole may have more tokens than its blocks
        steps.pop()
    return page.context(steps[-1])


class _Page:
    """The hits, and how parts of their texts are written and counted."""

    def __init__(self, hits: Sequence[Hit], url: Url, count: CountTokens) -> None:
        self._hits = hits
        self._documents = [_document(hit) for hit in hits]
        self._urls = [url(document) for document in self._documents]
        self._count = cache(lambda text: _number(count(text)) if text else 0)
        scored = [
            (-score, place, span)
            for place, hit in enumerate(hits)
            for score, span in _passages(hit)
        ]
        self.best_first = [(place, span) for _, place, span in sorted(scored)]

    def estimate(self, taken: _Taken) -> int:
        """The tokens of all blocks, each counted by itself, and only once."""
        return sum(self._count(block + _SEPARATOR) for block in self._blocks(taken))

    def tokens(self, taken: _Taken) -> int:
        """The tokens of the whole text."""
        return self._count(_SEPARATOR.join(self._blocks(taken)))

    def beginnings(self, place: int, span: Span) -> list[_Taken]:
        """The beginnings of a passage up to each of its words, the shortest first."""
        text = self._documents[place].text
        ends = [at for at in range(span[0] + 1, span[1]) if text[at].isspace()]
        return [{place: ((span[0], end),)} for end in ends]

    def extended(self, taken: _Taken, place: int, span: Span, side: _Side) -> _Taken:
        """The same parts, but the one that has this passage is extended on one side."""
        for part in taken.get(place, ()):
            if part[0] <= span[0] and span[1] <= part[1]:
                return _with(taken, place, side(self._documents[place].text, part))
        return taken

    def context(self, taken: _Taken) -> Context:
        """The context that has these parts."""
        blocks = self._blocks(taken)
        citations = [
            Citation(
                number,
                self._hits[place].id,
                self._documents[place].title,
                self._urls[place],
                taken[place],
                self._hits[place].score,
            )
            for number, place in enumerate(sorted(taken), start=1)
        ]
        return Context(_SEPARATOR.join(blocks), self.tokens(taken), tuple(citations), tuple(blocks))

    def _blocks(self, taken: _Taken) -> list[str]:
        """The text of each document, in the order of the hits."""
        return [
            self._block(number, place, taken[place])
            for number, place in enumerate(sorted(taken), start=1)
        ]

    def _block(self, number: int, place: int, spans: Sequence[Span]) -> str:
        document, url = self._documents[place], self._urls[place]
        heading = f"[{number}] {document.title or document.id}{f' ({url})' if url else ''}"
        parts = filter(None, (document.text[slice(*span)].strip() for span in spans))
        return "\n".join([heading, GAP.join(parts)]).rstrip()


def _with(taken: _Taken, place: int, span: Span) -> _Taken:
    """The parts and one more, joined with those of its document that it overlaps or touches."""
    parts: list[Span] = []
    for start, end in sorted((*taken.get(place, ()), span)):
        if parts and start <= parts[-1][1]:
            parts[-1] = (parts[-1][0], max(end, parts[-1][1]))
        else:
            parts.append((start, end))
    return {**taken, place: tuple(parts)}


def _with_next_sentence(text: str, part: Span) -> Span:
    start, end = part
    after = text[end : end + _WINDOW]
    for boundary in SENTENCE_END.finditer(after):
        if after[: boundary.end()].strip():
            return start, end + boundary.end()
    return (start, len(text)) if len(text) <= end + _WINDOW else part


def _with_sentence_before(text: str, part: Span) -> Span:
    start, end = part
    first = max(0, start - _WINDOW)
    before = text[first:start]
    ends = [boundary.end() for boundary in SENTENCE_END.finditer(before)]
    for at in reversed(ends):
        if before[at:].strip():
            return first + at, end
    return (0, end) if first == 0 else part


def _passages(hit: Hit) -> list[tuple[float, Span]]:
    """Score and span of each passage of a hit."""
    whole = 0, len(_document(hit).text)
    if not hit.passages:
        return [(hit.score, hit.span or whole)]
    return [(each.score, each.span or whole) for each in hit.passages]


def _checked(hit: object) -> Hit:
    if not isinstance(hit, Hit):
        raise InvalidInputError(
            f"found has {shown(hit)}, which is not a Hit: give a SearchResponse, or its hits"
        )
    text = _document(hit).text
    if any(end > len(text) for _, (_, end) in _passages(hit)):
        raise InvalidInputError(
            f"the hit {shown(hit.id)} has only a part of its document's text: search with "
            "text='full'"
        )
    return hit


def _document(hit: Hit) -> Document:
    if hit.document is None:
        raise InvalidInputError(
            f"the hit {shown(hit.id)} has no document: search with return_documents=true"
        )
    return hit.document


def _own_url(document: Document) -> str | None:
    url = document.metadata.get("url")
    return url if isinstance(url, str) and url else None


def _number(counted: object) -> int:
    """The number of tokens that ``count`` returned. Raises InvalidInputError."""
    if isinstance(counted, Sized):
        return len(counted)
    return whole_number("count(text)", counted, least=0)


def _bundled_tokens(text: str) -> Sized:
    return cast("Sized", _bundled_tokenizer().encode(text, add_special_tokens=False))


@cache
def _bundled_tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer

    file = Path(resolve_reranker(DEFAULT_RERANKER)) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()  # a context is longer than the reranker's window
    return tokenizer
