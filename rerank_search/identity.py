"""Which encoder an index was built with, and whether another name means the same one."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from rerank_search.arguments import model_name
from rerank_search.errors import IndexMismatchError, InvalidInputError, ModelNotFoundError
from rerank_search.retrieval.encoder import Encoder
from rerank_search.shown import shown
from rerank_search.storage.manifest import EncoderIdentity, Manifest
from rerank_search.storage.passages import Passages

PROBE = "An index knows its encoder by the vector of this sentence."

SAME = 0.999
"""Cosine of two probes of one model: half precision on another device stays well above it."""

WORDS_WITHOUT_ENCODER = 256


def identity(encoder: Encoder) -> EncoderIdentity:
    """What the manifest keeps of an encoder (loads the model)."""
    probe = encoder.encode([PROBE])[0]
    return EncoderIdentity(
        name=encoder.name,
        revision=encoder.revision,
        dimension=len(probe),
        normalised=True,
        probe=[round(float(value), 5) for value in probe],
    )


def encoder_of(
    directory: Path, manifest: Manifest, given: Encoder | str | PathLike[str] | None
) -> Encoder | None:
    """The encoder of an index, or the given one, or the one of the name that is given.

    Raises IndexMismatchError where that is another model than the index was built with.
    """
    built = manifest.encoder
    name = None
    if given is not None:
        name = given.name if isinstance(given, Encoder) else model_name("encoder", given)
    if built is None:
        if name is not None:
            raise IndexMismatchError(
                f"{directory} was built without an encoder, not with {name!r}: open it without "
                "naming one, or create an index with that encoder"
            )
        return None
    if isinstance(given, Encoder):
        encoder = given
    else:
        encoder = Encoder(name or built.name, revision=built.revision if name is None else None)
    if name not in (None, built.name) and (difference := mismatch(encoder, built)):
        raise IndexMismatchError(
            f"{directory} was built with the encoder {built.name!r}, not with {name!r} "
            f"({difference}): open it without naming an encoder, or create an index with {name!r}"
        )
    return encoder


def encoder_problems(encoder: Encoder, built: EncoderIdentity) -> list[str]:
    """What is wrong with the encoder of an index, each in a sentence."""
    try:
        difference = mismatch(encoder, built)
    except ModelNotFoundError as error:
        return [str(error)]
    if difference is None:
        return []
    return [
        f"the encoder {encoder.name!r} is another than the index was built with ({difference}): "
        "restore the model, or create the index anew"
    ]


def mismatch(encoder: Encoder, built: EncoderIdentity) -> str | None:
    """How the model differs from the one that an index was built with; None if it doesn't."""
    if encoder.dimension != built.dimension:
        return f"{encoder.dimension} dimensions instead of {built.dimension}"
    cosine = float(encoder.encode([PROBE])[0] @ np.array(built.probe, np.float32))
    return None if cosine >= SAME else "it gives other vectors"


def fitted(passages: Passages | None, encoder: Encoder | None) -> Passages | None:
    """The passages with their length in tokens. Raises InvalidInputError for too long ones."""
    if passages is None:
        return None
    if not isinstance(passages, Passages):
        raise InvalidInputError(
            f"passages={shown(passages)} cannot be used: give Passages(tokens=...), or None to "
            "leave documents whole"
        )
    if encoder is None:
        return passages.model_copy(update={"tokens": passages.tokens or WORDS_WITHOUT_ENCODER})
    window = encoder.window
    if passages.tokens is not None and passages.tokens > window:
        raise InvalidInputError(
            f"passages of {passages.tokens} tokens do not fit the window of {encoder.name!r}, "
            f"which is {window}: choose at most that"
        )
    return passages.model_copy(update={"tokens": passages.tokens or window})
