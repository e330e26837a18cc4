"""The optional attributes of any reranker, read in one place."""

from __future__ import annotations

from dataclasses import dataclass

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.base import Reranker
from rerank_search.reranking.calibration import Calibration, Calibrations
from rerank_search.reranking.fusion import Fusion


@dataclass(frozen=True, slots=True)
class Traits:
    """Optional attributes of a reranker; the defaults stand for a reranker without them.

    ``fusion`` combines its logit with the scores of the first stages. ``calibration`` turns its
    scores into probabilities. ``listwise`` is True if the score of a pair depends on the other
    pairs of the call, so that a list is never scored in parts. ``window`` is the number of tokens
    that it reads of a pair, taken from the attribute ``max_length``.
    """

    fusion: Fusion | None = None
    calibration: Calibration | Calibrations | None = None
    listwise: bool = False
    window: int | None = None


def traits(reranker: Reranker | None) -> Traits:
    """The traits of a reranker, or of none.

    An attribute of another type is ignored: the reranker uses the name for something else.
    """
    fusion = getattr(reranker, "fusion", None)
    calibration = getattr(reranker, "calibration", None)
    window = getattr(reranker, "max_length", None)
    return Traits(
        fusion if isinstance(fusion, Fusion) else None,
        calibration if isinstance(calibration, (Calibration, Calibrations)) else None,
        bool(getattr(reranker, "listwise", False)),
        window if isinstance(window, int) else None,
    )


def takes_instructions(reranker: Reranker) -> bool:
    """Whether the methods of a reranker take an ``instruction``.

    It is not among the Traits, because some rerankers have to load their model to tell.
    """
    return getattr(reranker, "takes_instructions", False) is True


def require_instructions(reranker: Reranker, name: str | None = None) -> None:
    """Raise InvalidInputError for a reranker whose methods take no ``instruction``.

    The error calls it ``name``, by default its own name.
    """
    if not takes_instructions(reranker):
        raise InvalidInputError(
            f"the reranker {(name or reranker.name)!r} takes no instruction: leave it out, or use "
            "a model that was trained with instructions, such as Qwen3-Reranker"
        )
