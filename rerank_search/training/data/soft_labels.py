"""Rerankers that give soft labels, or find false negatives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from rerank_search.compute import HERE, Compute
from rerank_search.errors import InvalidInputError
from rerank_search.judged.score_cache import ScoreCache
from rerank_search.judged.second_stages import SecondStages, identity
from rerank_search.judged.settings import RerankerSettings
from rerank_search.training.data.groups import TrainingSet
from rerank_search.training.recipe.sources import SoftLabels, Teacher

DECIMALS = 4
"""Number of decimals of soft labels, with which the same settings give the same file."""


class UnknownLogitsError(Exception):
    """Logits were asked for that are not known yet, while they are only noted."""


class Rerankers:
    """Rerankers by name, loaded when they are needed; their scores are cached.

    ``compute`` says where they are computed.
    """

    def __init__(
        self, names: Sequence[str], device: str | None, cache: Path, compute: Compute = HERE
    ) -> None:
        """Raises ModelNotFoundError for one that is missing."""
        self._declared = {
            name: RerankerSettings(model=name, name="reranker", fusion=False, device=device)
            for name in names
        }
        self.fingerprints = [identity(self._declared[name])[0] for name in names]
        self._stages = SecondStages(cache, compute)
        self._elsewhere = compute is not HERE
        self._noted: dict[str, list[Sequence[tuple[str, str]]]] | None = None

    def logits(self, name: str, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Raw logits of (query, text) pairs."""
        cache = self._cache(name)
        if self._noted is not None and not cache.knows(pairs):
            self._noted.setdefault(name, []).append(pairs)
            raise UnknownLogitsError
        return [float(value) for value in cache.scored(pairs).values]

    def foresee(self, works: Callable[[], Iterable[Callable[[], object]]]) -> None:
        """Have rerankers that compute elsewhere score together what these pieces of work will ask.

        Which pairs are scored may depend on the scores of others, so they are found in rounds: a
        piece that asks for unknown logits is left, and done again once they are known.
        """
        if not (self._elsewhere and any(self._cache(name).foresees for name in self._declared)):
            return
        found = True
        while found:
            noted: dict[str, list[Sequence[tuple[str, str]]]] = {}
            self._noted = noted
            try:
                for work in works():
                    with suppress(UnknownLogitsError):
                        work()
            finally:
                self._noted = None
            found = bool(noted)
            for name, lists in noted.items():
                cache = self._cache(name)
                cache.foresee(lists)
                for pairs in lists:
                    cache.scored(pairs)
                    found = found and cache.knows(pairs)  # not in a cache that is only read

    def _cache(self, name: str) -> ScoreCache:
        return self._stages.get(self._declared[name]).cache

    def close(self) -> None:
        """Close the files of scores."""
        self._stages.close()


def with_logits(
    labels: Sequence[Sequence[float]],
    pairs: Sequence[Sequence[tuple[str, str]]],
    teachers: Sequence[Teacher],
    rerankers: Rerankers,
) -> list[list[float]]:
    """The labels of each group's pairs, with the teachers' weighted logits added."""
    flat = [pair for of_group in pairs for pair in of_group]
    sums = [list(of_group) for of_group in labels]
    for teacher in teachers:
        logits = iter(rerankers.logits(teacher.reranker, flat))
        sums = [[label + teacher.weight * next(logits) for label in one] for one in sums]
    return [[round(label, DECIMALS) for label in one] for one in sums]


def soft_labelled(
    training_set: TrainingSet,
    settings: SoftLabels,
    device: str | None,
    cache: Path,
    compute: Compute = HERE,
) -> TrainingSet:
    """Pairs or samples labelled with ``gold`` times their label, plus the teachers' logits.

    Raises InvalidInputError for settings with the cosine or BM25, which only documents of an index
    have, and ModelNotFoundError.
    """
    if settings.cosine or settings.bm25:
        raise InvalidInputError(
            f"soft_labels has cosine = {settings.cosine:g} and bm25 = {settings.bm25:g}, but the "
            f"texts of {training_set} have neither: set both to 0, or give a collection or mined "
            "pairs"
        )
    groups = training_set.groups
    pairs = [[(group.query, document) for document in group.documents] for group in groups]
    gold = [[settings.gold * label for label in group.labels] for group in groups]
    named = [each.reranker for each in settings.rerankers]
    with closing(Rerankers(named, device, cache, compute)) as rerankers:
        label = partial(with_logits, gold, pairs, settings.rerankers, rerankers)
        rerankers.foresee(lambda: [label])
        labels = label()
    softened = [replace(group, labels=own) for group, own in zip(groups, labels, strict=True)]
    return replace(training_set, groups=softened, as_in_file=False)
