"""Calls of any reranker, with errors as RerankError, checked scores and a time limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError, RerankError, RerankSearchError
from rerank_search.queries import check_instruction
from rerank_search.reranking.base import (
    LongDocuments,
    ReportingReranker,
    Reranker,
    Scores,
    TimedReranker,
    joined,
)
from rerank_search.reranking.traits import require_instructions
from rerank_search.shown import counted

FIRST_CHUNK = 4
"""Pairs scored first, while the speed of the reranker is unknown."""

BUDGET_SHARE = 0.5
"""Share of the remaining time that the next chunk is planned to take."""

# A text longer than the window costs no more than the window, and even a short one costs something.
_MOST_CHARACTERS, _LEAST_CHARACTERS = 2_000, 100

Pairs = Sequence[tuple[str, str]]


def scored(
    reranker: Reranker,
    pairs: Pairs,
    *,
    long_documents: LongDocuments = "truncate",
    instruction: str | None = None,
) -> Scores:
    """The reranker's scores of the pairs.

    A plain Reranker reports no cut pairs. Raises RerankError for any error of the reranker and for
    scores that are not n finite numbers. Raises InvalidInputError for ``max_passage`` and for an
    instruction with a reranker that does not support it, and for an unknown or blank value.
    """
    given = _given(reranker, instruction)
    if long_documents not in get_args(LongDocuments):
        raise InvalidInputError(
            f"long_documents={long_documents!r} is unknown: use 'truncate' or 'max_passage'"
        )
    if long_documents == "max_passage" and not isinstance(reranker, ReportingReranker):
        raise InvalidInputError(
            "long_documents='max_passage' needs a reranker with score_with_report(), which "
            f"{reranker.name!r} lacks: use 'truncate'"
        )
    with _rerank_errors(reranker):
        if isinstance(reranker, ReportingReranker):
            result = reranker.score_with_report(pairs, long_documents=long_documents, **given)
        else:
            result = _uncut(reranker.score(pairs, **given), len(pairs))
    return _checked(reranker, result, len(pairs))


def _scored_within(
    reranker: Reranker, pairs: Pairs, seconds: float, instruction: str | None
) -> Scores | None:
    """As ``scored``; None from a TimedReranker that has no scores in time."""
    if not isinstance(reranker, TimedReranker):
        return scored(reranker, pairs, instruction=instruction)
    given = _given(reranker, instruction)
    with _rerank_errors(reranker):
        values = reranker.score_within(pairs, seconds, **given)
    return None if values is None else _checked(reranker, _uncut(values, len(pairs)), len(pairs))


def _given(reranker: Reranker, instruction: str | None) -> dict[str, Any]:
    """The argument for an instruction, if there is one. Raises InvalidInputError."""
    if instruction is None:
        return {}
    check_instruction(instruction)
    require_instructions(reranker)
    return {"instruction": instruction}


def _uncut(values: NDArray[np.float32], count: int) -> Scores:
    """The scores of a reranker that does not report what it cut."""
    values = np.asarray(values, dtype=np.float32)
    return Scores(values, np.zeros(count, dtype=np.bool_), [None] * count)


@contextmanager
def _rerank_errors(reranker: Reranker) -> Iterator[None]:
    """Raise every error as a RerankError that names the reranker."""
    try:
        yield
    except RerankError:
        raise
    except RerankSearchError as error:  # its message already says what to do
        raise RerankError(f"the reranker {reranker.name!r} failed: {error}") from error
    # A reranker may be third-party code, such as a client of a remote service: the failure policy
    # has to cover every exception.
    except Exception as error:
        raise RerankError(
            f"the reranker {reranker.name!r} failed ({type(error).__name__}: {error}): fix it, or "
            "search with on_rerank_error='first_stage'"
        ) from error


def _checked(reranker: Reranker, result: Scores, count: int) -> Scores:
    if result.values.shape != (count,):
        raise RerankError(
            f"the reranker {reranker.name!r} returned scores of shape {result.values.shape} for "
            f"{counted(count, 'pair')}: it must return one score for each pair"
        )
    if not np.isfinite(result.values).all():
        raise RerankError(
            f"the reranker {reranker.name!r} returned NaN or infinite scores, which cannot be "
            "ranked: fix it"
        )
    return result


def scored_in_time(
    reranker: Reranker,
    pairs: Pairs,
    milliseconds: float,
    clock: Callable[[], float],
    *,
    instruction: str | None = None,
) -> Scores:
    """Scores of the first pairs, as many as fit; ``clock`` counts seconds.

    The first chunk is small, and is scored if any time is left at all. Each later chunk is planned
    to take half of the remaining time, by the speed of those before it. So the budget is overrun
    only if the first chunk alone overruns it, or a later pair takes more than twice the expected
    time. A TimedReranker stops waiting when no time is left.
    """
    costs = np.array([len(query) + len(text) for query, text in pairs])
    costs = np.cumsum(np.clip(costs, _LEAST_CHARACTERS, _MOST_CHARACTERS))
    started = clock()
    parts: list[Scores] = []
    done = 0
    while done < len(pairs):
        spent = (clock() - started) * 1000
        left = milliseconds - spent
        if left <= 0:
            break
        end = FIRST_CHUNK
        if done:
            affordable = costs[done - 1] * (1 + BUDGET_SHARE * left / max(spent, 1e-6))
            end = int(np.searchsorted(costs, affordable, side="right"))
        if end <= done:
            break
        chunk = pairs[done:end]
        part = _scored_within(reranker, chunk, left / 1000, instruction)
        if part is None:
            break
        parts.append(part)
        done += len(chunk)
    return joined(parts)
