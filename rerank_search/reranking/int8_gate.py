"""A check that a reranker ranks in int8 nearly as it does in float32; else it is refused.

It ranks docstrings of the standard library, which every machine has, for questions about it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError, RerankSearchError
from rerank_search.files import atomic_write_json, disk_errors
from rerank_search.models.backends.deadline import WAIT, OutOfTimeError, one_process

logger = logging.getLogger("rerank_search.models.backends")  # commands show its lines

QUESTIONS = Path(__file__).with_name("int8_gate.json")
"""Questions with graded names of the standard library, chosen by eval/int8_gate.py."""

LEAST_TAU = 0.98
LARGEST_LOSS = 0.005

_CHARACTERS = 800
"""Characters kept of a docstring: long ones would take most of the time."""

_LEAST_TEXTS = 600
"""Fewest texts to compare rankings on, of 1,276: another Python lacks a few names, and a Python
without docstrings lacks two thirds."""


class Scorer(Protocol):
    """The part of a reranker that the check uses."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Raw logits of the pairs."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over the questions: Kendall's tau to the float32 ranking, and nDCG@10 of both."""

    tau: float
    exact: float
    rounded: float

    @property
    def passed(self) -> bool:
        """Whether the rankings are similar enough."""
        return self.tau >= LEAST_TAU and self.exact - self.rounded <= LARGEST_LOSS

    def __str__(self) -> str:
        return (
            f"Kendall's tau {self.tau:.3f} (at least {LEAST_TAU}), nDCG@10 {self.exact:.4f} -> "
            f"{self.rounded:.4f} (a loss of at most {LARGEST_LOSS})"
        )


def check(name: str, rounded: Scorer, exact: Callable[[], Scorer], basis: str, cache: Path) -> None:
    """Compare the rankings in int8 and in float32, once for each ``basis``.

    ``basis`` names all that the figures depend on; ``exact`` makes the float32 reranker. Raises
    InvalidInputError with the figures if the rankings differ too much, and if there are no texts to
    compare them on.
    """
    path = cache / "gates" / f"{hashlib.sha256(basis.encode()).hexdigest()[:32]}.json"
    figures = _known(path)
    if figures is None:
        try:
            with one_process(path, "comparing rankings in int8", WAIT):
                figures = _known(path) or _compared(name, rounded, exact, path)
        except OutOfTimeError:
            figures = _compared(name, rounded, exact, path)
    if not figures.passed:
        raise InvalidInputError(
            f"int8 changes the rankings of {name!r} too much: {figures}. Use dtype='float32'"
        )


def _compared(name: str, rounded: Scorer, exact: Callable[[], Scorer], path: Path) -> Figures:
    logger.info("comparing the rankings of %s in int8 with those in float32", name)
    figures = compare(rounded, exact())
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(path, asdict(figures))
    except (RerankSearchError, OSError) as error:
        logger.warning("the comparison cannot be stored, so the next process repeats it: %s", error)
    return figures


def compare(rounded: Scorer, exact: Scorer) -> Figures:
    """The figures of two rerankers on the same pairs."""
    judged = questions()
    pairs = [(query, text) for query, texts in judged for text, _ in texts]
    both = [iter(reranker.score(pairs).tolist()) for reranker in (rounded, exact)]
    taus, gains = [], []
    for _, texts in judged:
        ours, theirs = ([next(scores) for _ in texts] for scores in both)
        taus.append(_tau(ours, theirs))
        grades = np.array([grade for _, grade in texts])
        gains.append((_ndcg(theirs, grades), _ndcg(ours, grades)))
    ndcg = np.mean(gains, axis=0)
    return Figures(float(np.mean(taus)), float(ndcg[0]), float(ndcg[1]))


def example_pairs() -> list[tuple[str, str]]:
    """Each of the questions with one of its texts."""
    return [(query, texts[0][0]) for query, texts in questions()]


def text_of(name: str) -> str:
    """A name of the standard library with the start of its docstring; empty without docstring."""
    try:
        found = inspect.getdoc(pkgutil.resolve_name(name))
    except (ImportError, AttributeError, ValueError):
        return ""
    return f"{name}\n{found[:_CHARACTERS]}" if found else ""


def questions() -> list[tuple[str, list[tuple[str, int]]]]:
    """Each question that has a relevant text on this machine, with its texts and their grades.

    Raises InvalidInputError if docstrings are missing.
    """
    found = []
    for query, names in json.loads(QUESTIONS.read_text(encoding="utf-8")).items():
        texts = [(text, grade) for name, grade in names.items() if (text := text_of(name))]
        if len(texts) > 1 and any(grade for _, grade in texts):
            found.append((query, texts))
    if sum(len(texts) for _, texts in found) < _LEAST_TEXTS:
        raise InvalidInputError(
            "int8 is fitted and checked on docstrings of the standard library, and this Python "
            "has none (python -OO removes them): use another dtype"
        )
    return found


def _tau(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Kendall's tau; where a reranker gives all texts one score, it is 1 if both do, else 0.

    With a short window the query may leave no room for the texts, so that their pairs are equal.
    """
    from scipy.stats import kendalltau

    tau = float(kendalltau(ours, theirs).statistic)
    return float(len({*ours}) == len({*theirs})) if np.isnan(tau) else tau


def _ndcg(scores: Sequence[float], grades: NDArray[np.int64]) -> float:
    """nDCG@10 with the grades as gains (Jarvelin and Kekalainen 2002, with log2(rank + 1))."""
    discounts = 1 / np.log2(np.arange(2, 12))[: len(grades)]
    ranked = grades[np.argsort(-np.asarray(scores), kind="stable")][:10]
    best = np.sort(grades)[::-1][:10]
    return float((ranked * discounts).sum() / (best * discounts).sum())


def _known(path: Path) -> Figures | None:
    try:
        return Figures(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
