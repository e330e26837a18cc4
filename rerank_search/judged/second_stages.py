"""The rerankers of an experiment: loaded when a cell needs one, each model once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rerank_search.compute import HERE, Compute
from rerank_search.errors import InvalidInputError
from rerank_search.files import sha256
from rerank_search.judged.score_cache import ScoreCache
from rerank_search.judged.settings import RerankerSettings
from rerank_search.models.loading import best_device
from rerank_search.models.registry import logits_fingerprint, resolve_reranker
from rerank_search.reranking.base import Reranker
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.elsewhere import exact_version, is_elsewhere, reranker_elsewhere
from rerank_search.reranking.fusion import FUSION_FILE, Fusion
from rerank_search.reranking.late_interaction import MultiVectorReranker
from rerank_search.reranking.traits import require_instructions, traits
from rerank_search.settings import Settings

Activation: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class SecondStage:
    """A reranker with its cached scores, and the fusion that candidates are sorted by.

    ``cache`` scores with the ``instruction``.
    """

    reranker: Reranker
    fusion: Fusion | None
    cache: ScoreCache
    instruction: str | None = None

    @property
    def activation(self) -> Activation:
        """The function that turns logits into what the model's ``predict`` returns."""
        activated: Activation | None = getattr(self.reranker, "activated", None)
        return activated if activated is not None else lambda logits: logits


class SecondStages:
    """The second stages that settings declare. Scores are stored below ``cache``.

    ``compute`` says where pairs are scored for the cache.
    """

    def __init__(self, cache: Path, compute: Compute = HERE) -> None:
        self._cache = cache
        self._compute = compute
        self._rerankers: dict[RerankerSettings, Reranker] = {}
        self._caches: dict[tuple[RerankerSettings, str | None], ScoreCache] = {}

    def get(self, settings: RerankerSettings) -> SecondStage:
        """The second stage, loaded at the first call.

        Raises ModelNotFoundError, and InvalidInputError for an instruction to a reranker that takes
        none.
        """
        instruction = settings.instruction
        model = settings.model_copy(update={"name": None, "fusion": True, "instruction": None})
        if model not in self._rerankers:
            self._rerankers[model] = _loaded(model)
        reranker = self._rerankers[model]
        if instruction is not None:
            require_instructions(reranker)
        if (model, instruction) not in self._caches:
            computed = self._compute.reranker(reranker)
            cache = ScoreCache(self._cache, computed, instruction=instruction)
            self._caches[model, instruction] = cache
        fusion = traits(reranker).fusion if settings.fusion else None
        return SecondStage(reranker, fusion, self._caches[model, instruction], instruction)

    def close(self) -> None:
        """Close the files of scores."""
        for cache in self._caches.values():
            cache.close()


def _loaded(settings: RerankerSettings) -> Reranker:
    other = reranker_elsewhere(settings.model, device=settings.device)
    if isinstance(other, MultiVectorReranker):
        _check_late(settings)
    return other or CrossEncoderReranker(
        settings.model,
        device=settings.device,
        max_length=settings.max_length,
        backend="torch",
        dtype=settings.dtype,
    )


def _check_late(settings: RerankerSettings) -> None:
    """Raise InvalidInputError for settings that only a cross-encoder has."""
    if settings.max_length is not None or settings.dtype != "float32":
        raise InvalidInputError(
            f"the reranker {settings.model!r} compares token vectors, and has neither max_length "
            "nor dtype: leave them out"
        )


def identity(settings: RerankerSettings) -> list[str | None]:
    """Everything that decides the rankings of a second stage, without loading the model."""
    told = [] if settings.instruction is None else [settings.instruction]
    if is_elsewhere(settings.model):
        return [exact_version(settings.model), None, *told]
    directory = Path(resolve_reranker(settings.model))
    fusion = directory / FUSION_FILE
    return [
        logits_fingerprint(directory, settings.max_length, settings.dtype),
        sha256(fusion) if settings.fusion and fusion.is_file() else None,
        *told,
    ]


def declared_fusion(settings: RerankerSettings) -> Fusion | None:
    """The fusion that a second stage sorts by, without loading the model."""
    if is_elsewhere(settings.model):
        return None
    directory = Path(resolve_reranker(settings.model))
    has_fusion = settings.fusion and (directory / FUSION_FILE).is_file()
    return Fusion.load(directory) if has_fusion else None


def device(settings: RerankerSettings) -> str:
    """The device of a reranker, without loading the model."""
    return settings.device or Settings().device or best_device()
