"""What goes into a generator's prompt: the best passages of a search, up to a number of tokens.

response = searcher.search("how do I join two paths", passages_per_document=3)
context = pack(response, tokens=3000)
prompt = f"Answer from these sources, and cite them by number.\\n\\n{context.text}"
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from rerank_search.arguments import check_function, several, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.models.registry import DEFAULT_RERANKER, resolve_reranker
from rerank_search.shown import shown
from rerank_search.storage.boundaries import SENTENCE_END, characters
from rerank_search.types import Document, Hit, SearchResponse, Span

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CountTokens: TypeAlias = Callable[[str], int | Sized]
"""A function that gives a text's tokens or their number, such as a tokenizer's ``encode``."""

Url: TypeAlias = Callable[[Document], str | None]
"""A function that gives the address of a document, or None if it has none."""

GAP = "\n...\n"
"""The line between two passages of one document that do not touch."""

_Parts: TypeAlias = tuple[Span, ...]
"""Parts of a document's text, in its order; they neither overlap nor touch."""

_Step: TypeAlias = tuple[int, _Parts]
"""The place of a hit, and the parts of its document that the context has from this step on."""

_SEPARATOR = "\n\n"
_WINDOW = 4_000
"""Characters before and after a passage in which its neighbouring sentences are looked for."""

_LONGEST_WORD = 30
"""Characters above which a run without spaces is a clause, such as in Chinese, and not a word."""

_WORD = re.compile(r"\S+")


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
    steps = _steps(page, most, neighbours)
    if page.tokens(steps) > most:  # the whole may have more tokens than its pieces
        fitting = bisect_right(range(len(steps)), most, key=lambda n: page.tokens(steps[:n]))
        steps = steps[: max(0, fitting - 1)]
    return page.context(steps)


def _steps(page: _Page, most: int, neighbours: int) -> list[_Step]:
    """The passages and their neighbours that fit, in the order in which they are taken.

    Only what a step adds is counted, since a context may have thousands of them.
    """
    steps: list[_Step] = []
    taken: dict[int, _Parts] = {}
    left = most

    def take(place: int, span: Span) -> None:
        nonlocal left
        if (cost := page.cost(place, taken.get(place), span)) <= left:
            left -= cost
            taken[place] = _with(taken.get(place, ()), span)
            steps.append((place, taken[place]))

    for place, span in page.best_first[:1]:
        take(place, page.cut(place, span, most))
    for place, span in page.best_first[1:]:
        take(place, span)
    for _ in range(neighbours):
        for place, span in page.best_first:
            for side in (_next_sentence, _sentence_before):
                if (part := _part_with(taken.get(place, ()), span)) is not None:
                    take(place, side(page.text(place), part))
    return steps


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

    def text(self, place: int) -> str:
        """The text of a document."""
        return self._documents[place].text

    def tokens(self, steps: Sequence[_Step]) -> int:
        """The tokens of the whole text after these steps."""
        return self._count(_SEPARATOR.join(self._blocks(dict(steps))))

    def cost(self, place: int, parts: _Parts | None, span: Span) -> int:
        """The tokens that a span adds to the parts of its document; None is a new document."""
        pieces = [self.text(place)[slice(*piece)] for piece in _uncovered(parts or (), span)]
        if parts is None:
            pieces.append(self._heading(place + 1, place) + _SEPARATOR)
        elif not parts[_near(parts, span)]:
            pieces.append(GAP)
        return sum(map(self._count, pieces))

    def cut(self, place: int, span: Span, most: int) -> Span:
        """The longest beginning of a passage that fits; the whole one if not even a word does."""
        if self.cost(place, None, span) <= most:
            return span
        start = span[0]
        ends = [*_ends_of_words(self.text(place), span)]
        fitting = bisect_right(ends, most, key=lambda end: self.cost(place, None, (start, end)))
        return (start, ends[fitting - 1]) if fitting else span

    def context(self, steps: Sequence[_Step]) -> Context:
        """The context after these steps."""
        taken = dict(steps)
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
        return Context(_SEPARATOR.join(blocks), self.tokens(steps), tuple(citations), tuple(blocks))

    def _blocks(self, taken: Mapping[int, _Parts]) -> list[str]:
        """The text of each document, in the order of the hits."""
        return [
            self._block(number, place, taken[place])
            for number, place in enumerate(sorted(taken), start=1)
        ]

    def _block(self, number: int, place: int, spans: Sequence[Span]) -> str:
        parts = filter(None, (self.text(place)[slice(*span)].strip() for span in spans))
        return "\n".join([self._heading(number, place), GAP.join(parts)]).rstrip()

    def _heading(self, number: int, place: int) -> str:
        document, url = self._documents[place], self._urls[place]
        return f"[{number}] {document.title or document.id}{f' ({url})' if url else ''}"


def _near(parts: _Parts, span: Span) -> slice:
    """The parts that a span overlaps or touches."""
    first = bisect_left(parts, span[0], key=itemgetter(1))
    return slice(first, max(first, bisect_right(parts, span[1], key=itemgetter(0))))


def _with(parts: _Parts, span: Span) -> _Parts:
    """The parts and one more, joined with those that it overlaps or touches."""
    near = _near(parts, span)
    starts, ends = zip(span, *parts[near], strict=True)
    return (*parts[: near.start], (min(starts), max(ends)), *parts[near.stop :])


def _uncovered(parts: _Parts, span: Span) -> Iterator[Span]:
    """The pieces of a span that are in none of the parts."""
    position, last = span
    for start, end in parts[_near(parts, span)]:
        if position < start:
            yield position, start
        position = max(position, end)
    if position < last:
        yield position, last


def _part_with(parts: _Parts, span: Span) -> Span | None:
    """The part that has this span."""
    for start, end in parts[_near(parts, span)]:
        if start <= span[0] and span[1] <= end:
            return start, end
    return None


def _ends_of_words(text: str, span: Span) -> Iterator[int]:
    """Where a passage may be cut: after a word, and anywhere in a text without spaces."""
    for word in _WORD.finditer(text, *span):
        if word.end() - word.start() > _LONGEST_WORD:
            yield from characters(text, *word.span())
        else:
            yield word.end()


def _next_sentence(text: str, part: Span) -> Span:
    """The sentence after a part; an empty span if it is too long, or if there is none."""
    end = part[1]
    after = text[end : end + _WINDOW]
    for boundary in SENTENCE_END.finditer(after):
        if after[: boundary.end()].strip():
            return end, end + boundary.end()
    return (end, len(text)) if len(text) <= end + _WINDOW else (end, end)


def _sentence_before(text: str, part: Span) -> Span:
    """The sentence before a part; an empty span if it is too long, or if there is none."""
    start = part[0]
    first = max(0, start - _WINDOW)
    before = text[first:start]
    ends = [boundary.end() for boundary in SENTENCE_END.finditer(before)]
    for at in reversed(ends):
        if before[at:].strip():
            return first + at, start
    return (0, start) if first == 0 else (start, start)


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
    encodable = text.encode(errors="replace").decode()  # a store may have texts that are not
    return cast("Sized", _bundled_tokenizer().encode(encodable, add_special_tokens=False))


@cache
def _bundled_tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer

    file = Path(resolve_reranker(DEFAULT_RERANKER)) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()  # a context is longer than the reranker's window
    return tokenizer
