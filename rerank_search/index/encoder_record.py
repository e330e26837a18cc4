"""The encoder that an index was built with: its record, and whether another model is the same."""

from __future__ import annotations

import logging
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import IndexMismatchError, ModelNotFoundError, ServerError
from rerank_search.index.passage_length import check_prompts, passages_window
from rerank_search.models.prompts import Prompts
from rerank_search.retrieval.base import TextEncoder
from rerank_search.retrieval.encoders import encoder_of
from rerank_search.storage.manifest import EncoderRecord, Manifest

PROBE = "An index knows its encoder by the vector of this sentence."

SAME = 0.999
"""Smallest cosine of two probes of one model; half precision on another device stays above it."""

logger = logging.getLogger(__name__)


def recorded(encoder: TextEncoder) -> EncoderRecord:
    """The manifest's record of an encoder (loads the model).

    Warns about prompts that are not used because they are for neither queries nor documents.
    Raises InvalidInputError for a prompt that leaves too little room for texts.
    """
    if unused := encoder.unused_prompts:
        logger.warning(
            "the encoder %r has the prompts %s, and none called 'query' or 'document': texts are "
            "encoded without a prompt. If it was trained with them, create the index again with "
            "query_prompt and document_prompt",
            encoder.name,
            ", ".join(map(repr, unused)),
        )
    check_prompts(encoder)
    probe = _probed(encoder, encoder.prompts)
    return EncoderRecord(
        name=encoder.name,
        revision=encoder.revision,
        dimension=len(probe),
        normalised=True,
        probe=[round(float(value), 5) for value in probe],
        prompts=encoder.prompts,
        query_prompt=encoder.query_prompt,
        document_prompt=encoder.document_prompt,
        truncate_dim=encoder.truncate_dim,
        pooling=encoder.pooling,
    )


def opened_encoder(
    directory: Path, manifest: Manifest, given: TextEncoder | str | PathLike[str] | None
) -> TextEncoder | None:
    """The encoder to open an index with: the given one, or the one that the index was built with.

    Raises IndexMismatchError for another model than the index was built with.
    """
    built = manifest.encoder
    if built is None:
        if given is not None:
            raise IndexMismatchError(
                f"{directory} was built without an encoder, not with {encoder_of(given).name!r}: "
                "open it without naming one, or create an index with that encoder"
            )
        return None
    if given is None:
        return encoder_of(built.name, **built.arguments)
    if isinstance(given, (str, PathLike)):  # the same model in another place
        encoder = encoder_of(given, **built.arguments | {"revision": None})
    else:
        encoder = encoder_of(given)
    same = (encoder.name, encoder.truncate_dim) == (built.name, built.truncate_dim)
    if not same and (difference := mismatch(encoder, built)):
        raise IndexMismatchError(
            f"{directory} was built with the encoder {built.name!r}, not with {encoder.name!r} "
            f"({difference}): open it without naming an encoder, or create an index with "
            f"{encoder.name!r}"
        )
    return encoder


def check_same(directory: Path, encoder: TextEncoder, built: EncoderRecord) -> None:
    """Raise IndexMismatchError if another model answers by the encoder's name now."""
    if encoder.may_change and (difference := mismatch(encoder, built)):
        raise IndexMismatchError(
            f"{directory} was built with another model than the one that {encoder.name!r} gives "
            f"now ({difference}): have the server serve that model again, or create the index "
            "again"
        )


def encoder_problems(encoder: TextEncoder, built: EncoderRecord) -> list[str]:
    """The problems of the encoder of an index, each as a sentence."""
    try:
        difference = mismatch(encoder, built)
    except (ModelNotFoundError, ServerError) as error:
        return [str(error)]
    if difference is None:
        return []
    return [
        f"the encoder {encoder.name!r} is not the one that the index was built with "
        f"({difference}): restore that model, or create the index again"
    ]


def mismatch(encoder: TextEncoder, built: EncoderRecord) -> str | None:
    """How the model differs from the one that an index was built with; None if it does not."""
    # Of the vector, since an encoder may remember its dimension from before.
    vector = _probed(encoder, built.prompts)
    if len(vector) != built.dimension:
        return f"{len(vector)} dimensions instead of {built.dimension}"
    if built.pooling is not None and encoder.pooling != built.pooling:
        return f"{encoder.pooling} pooling instead of {built.pooling}"
    cosine = float(vector @ np.array(built.probe, np.float32))
    return None if cosine >= SAME else "it gives other vectors"


def prompt_problems(encoder: TextEncoder, used: Prompts | None) -> list[str]:
    """A sentence about what a rebuild would change, if the encoder has other prompts today.

    ``used`` are the prompts that vectors were made with; see ``EncoderRecord.prompts``.
    """
    try:
        prompts = encoder.prompts
        same = prompts == used if used is not None else not encoder.tells_tasks_apart
    except (ModelNotFoundError, ServerError):
        return []  # encoder_problems reports this
    if same:
        return []
    before = "as an earlier version did, queries and documents alike"
    return [
        f"the vectors were made {before if used is None else f'with {used}'}, and the encoder "
        f"{encoder.name!r} has {prompts}: run `rerank-search index rebuild` to use these; until "
        "then searches rank as before"
    ]


def renewed(manifest: Manifest, encoder: TextEncoder) -> Manifest:
    """The manifest after a rebuild: with the prompts that the vectors have now.

    Prompts given by hand are recorded as such, so that the index opens with them from then on.
    Passages of new documents leave room for the prompts; stored passages keep their length.
    """
    built, passages = manifest.encoder, manifest.passages
    if built is None or (built.prompts, built.pooling) == (encoder.prompts, encoder.pooling):
        return manifest
    now = recorded(encoder)
    if passages is not None and passages.tokens is not None:
        window = passages_window(encoder)
        if window is not None:
            passages = passages.model_copy(update={"tokens": min(passages.tokens, window)})
    kept = {"name": built.name, "revision": built.revision, "truncate_dim": built.truncate_dim}
    return manifest.model_copy(
        update={"encoder": now.model_copy(update=kept), "passages": passages}
    )


def _probed(encoder: TextEncoder, prompts: Prompts | None) -> NDArray[np.float32]:
    if prompts is None:
        vector: NDArray[np.float32] = encoder.encode([PROBE])[0]
    else:
        vector = encoder.encode([PROBE], task="document", prompt=prompts.document)[0]
    return vector
