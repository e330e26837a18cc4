"""The sparse encoder that an index was built with: its record, and whether another is the same."""

from __future__ import annotations

import logging
from os import PathLike

import numpy as np

from rerank_search.errors import IndexMismatchError, InvalidInputError, ModelNotFoundError
from rerank_search.index.passage_length import check_prompts
from rerank_search.models.prompts import Prompts
from rerank_search.retrieval.sparse_encoder import SparseEncoder
from rerank_search.shown import shown
from rerank_search.storage.manifest import Manifest, SparseEncoderRecord
from rerank_search.storage.passages import Passages

PROBE = "An index knows its encoder by the vector of this sentence."

KEPT = 200
"""Number of largest weights of the probe that a record has."""

SAME = 0.999
"""Smallest cosine of two probes of one model; half precision on another device stays above it."""

logger = logging.getLogger(__name__)


def sparse_encoder_of(given: SparseEncoder | str | PathLike[str]) -> SparseEncoder:
    """The sparse encoder of that name, whose first use loads it; an encoder is itself."""
    if isinstance(given, SparseEncoder):
        return given
    if not isinstance(given, (str, PathLike)):
        raise InvalidInputError(
            f"sparse_encoder={shown(given)} is not a SparseEncoder of rerank_search: give the "
            "name or the folder of the model"
        )
    return SparseEncoder(given)


def recorded_sparse(encoder: SparseEncoder, passages: Passages | None) -> SparseEncoderRecord:
    """The manifest's record of a sparse encoder (loads the model).

    Warns if the encoder reads less than a passage. Raises InvalidInputError for a prompt that
    leaves too little room for texts, and for a model that cannot be used.
    """
    check_prompts(encoder)
    window = encoder.window
    longest = None if passages is None else passages.tokens
    if longest is not None and window is not None and window < longest:
        logger.warning(
            "the sparse encoder %r reads %d tokens, and passages have up to %d: it does not read "
            "their ends. To avoid that, create the index with Passages(tokens=%d)",
            encoder.name,
            window,
            longest,
            window,
        )
    return SparseEncoderRecord(
        name=encoder.name,
        revision=encoder.revision,
        dimension=encoder.dimension,
        prompts=encoder.prompts,
        probe=_probed(encoder, encoder.prompts),
        query_prompt=encoder.query_prompt,
        document_prompt=encoder.document_prompt,
    )


def opened_sparse_encoder(
    manifest: Manifest, given: SparseEncoder | str | PathLike[str] | None
) -> SparseEncoder | None:
    """The sparse encoder to open an index with: the given one, or the one it was built with.

    Raises IndexMismatchError for another model than the index was built with.
    """
    built = manifest.sparse_encoder
    if built is None:
        if given is not None:
            raise IndexMismatchError(
                "the index was built without a sparse encoder, not with "
                f"{sparse_encoder_of(given).name!r}: open it without naming one, or create an "
                "index with that sparse encoder"
            )
        return None
    if given is None:
        return SparseEncoder(built.name, **built.arguments)
    encoder = sparse_encoder_of(given)
    if encoder.name != built.name and (difference := _mismatch(encoder, built)):
        raise IndexMismatchError(
            f"the index was built with the sparse encoder {built.name!r}, not with "
            f"{encoder.name!r} ({difference}): open it without naming one, or create an index "
            f"with {encoder.name!r}"
        )
    return encoder


def sparse_encoder_problems(encoder: SparseEncoder, built: SparseEncoderRecord) -> list[str]:
    """The problems of the sparse encoder of an index, each as a sentence."""
    try:
        difference = _mismatch(encoder, built)
        prompts = encoder.prompts
    except ModelNotFoundError as error:
        return [str(error)]
    if difference is not None:
        return [
            f"the sparse encoder {encoder.name!r} is not the one that the index was built with "
            f"({difference}): restore that model, or create the index again"
        ]
    if prompts != built.prompts:
        return [
            f"the sparse vectors are made with {built.prompts}, and the sparse encoder "
            f"{encoder.name!r} has {prompts}: create the index again to use these; until then "
            "searches rank as before"
        ]
    return []


def _mismatch(encoder: SparseEncoder, built: SparseEncoderRecord) -> str | None:
    """How the model differs from the one that an index was built with; None if it does not."""
    if encoder.dimension != built.dimension:
        return f"{encoder.dimension} dimensions instead of {built.dimension}"
    now, before = _probed(encoder, built.prompts), built.probe
    shared = sum(weight * before.get(token, 0.0) for token, weight in now.items())
    lengths = [np.linalg.norm(list(probe.values())) for probe in (now, before)]
    if not all(lengths):
        return None if now == before else "it gives other vectors"
    return None if shared / (lengths[0] * lengths[1]) >= SAME else "it gives other vectors"


def _probed(encoder: SparseEncoder, prompts: Prompts) -> dict[int, float]:
    tokens, weights = encoder.encode([PROBE], task="document", prompt=prompts.document)[0]
    largest = np.argsort(-np.abs(weights), kind="stable")[:KEPT]
    return {int(tokens[i]): round(float(weights[i]), 5) for i in sorted(largest.tolist())}
