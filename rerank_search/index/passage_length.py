"""The length of an index's passages in tokens, so that they fit its encoder."""

from __future__ import annotations

from collections.abc import Callable

from rerank_search.errors import InvalidInputError
from rerank_search.retrieval.base import TextReader
from rerank_search.shown import shown
from rerank_search.storage.boundaries import words
from rerank_search.storage.manifest import Manifest
from rerank_search.storage.passages import SHORTEST, Passages, Split, Splitter, whole

TOKENS_WITHOUT_WINDOW = 256
"""Tokens of a passage if the index has no encoder, or one that reads texts of any length."""


def splitting(manifest: Manifest, encoder: TextReader | None) -> Callable[[str, str], Split]:
    """The function that splits the documents of an index into passages."""
    if manifest.dimension is not None:
        return _one  # the user gives one vector for each document, also for one without text
    settings = manifest.passages
    if settings is None or settings.tokens is None:
        return whole
    offsets = words if encoder is None else encoder.token_offsets
    return Splitter(offsets, tokens=settings.tokens, overlap=settings.overlap).split


def check_without_passages(asked: Passages | None) -> None:
    """Raise InvalidInputError for passages that were asked for with vectors of documents."""
    if asked is not None and asked != Passages():
        raise InvalidInputError(
            f"passages={shown(asked)} cannot be used with vectors of your own, one for each "
            "document: leave passages out, and add each part of a long document as a document"
        )


def _one(title: str, text: str) -> Split:
    return Split([None], len(title))


def fitted(passages: Passages | None, encoder: TextReader | None) -> Passages | None:
    """The settings with the length in tokens filled in. InvalidInputError if it is too long."""
    if passages is None:
        return None
    if not isinstance(passages, Passages):
        raise InvalidInputError(
            f"passages={shown(passages)} cannot be used: give Passages(tokens=...), or None to "
            "leave documents whole"
        )
    if encoder is None:
        return passages.model_copy(update={"tokens": passages.tokens or TOKENS_WITHOUT_WINDOW})
    window = passages_window(encoder)
    if window is not None and passages.tokens is not None and passages.tokens > window:
        without = f" without its prompt {prompt!r}" if (prompt := encoder.prompts.document) else ""
        raise InvalidInputError(
            f"passages of {passages.tokens} tokens do not fit the window of {encoder.name!r}, "
            f"which is {window}{without}: choose at most that"
        )
    tokens = passages.tokens or window or TOKENS_WITHOUT_WINDOW
    return passages.model_copy(update={"tokens": tokens})


def passages_window(encoder: TextReader) -> int | None:
    """Tokens that the encoder reads of a passage: its window minus the prompt."""
    return _left(encoder, encoder.prompts.document, "a passage")


def check_prompts(encoder: TextReader) -> None:
    """Raise InvalidInputError for a prompt that leaves too little of the window for the text."""
    prompts = encoder.prompts
    for prompt, text in ((prompts.query, "a query"), (prompts.document, "a passage")):
        window = encoder.window if prompt else None
        # No token is shorter than a byte, so short prompts need no tokenizer.
        if window is not None and len(prompt.encode()) > window - SHORTEST:
            _left(encoder, prompt, text)


def _left(encoder: TextReader, prompt: str, text: str) -> int | None:
    """Tokens of the window that a prompt leaves for ``text``."""
    window = encoder.window
    if window is None or not prompt:
        return window
    left = window - len(encoder.token_offsets(prompt))
    if left < SHORTEST:
        raise InvalidInputError(
            f"the prompt {prompt[:80]!r} of the encoder {encoder.name!r} leaves {left} of its "
            f"{window} tokens for {text}, and {SHORTEST} are needed: use a shorter prompt, or "
            "another encoder"
        )
    return left
