"""Training data in figures, and an estimate of the training time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.shown import counted
from rerank_search.training.data.groups import POSITIVE_ABOVE, TrainingSet
from rerank_search.training.data.rows import pairs_scored
from rerank_search.training.recipe.losses import Loss

_MEASURED_PAIRS = 2000
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Spread:
    """The smallest value, the mean and the largest; all 0 without values."""

    least: float
    mean: float
    most: float


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of a pair before it is cut, special ones included, in a sample of ``pairs``.

    ``cut`` is the share of pairs above ``max_length``, ``mean_read`` the mean after cutting.
    """

    pairs: int
    p50: int
    p90: int
    p99: int
    most: int
    max_length: int
    cut: float
    mean_read: float


@dataclass(frozen=True, slots=True)
class SetDescription:
    """One training set in figures; lengths of texts are in characters.

    ``positives`` is None if labels are not in [0, 1], such as a teacher's logits. ``scored`` is the
    number of pairs that go through the model in one pass. ``tokens`` is None without a tokenizer.
    """

    name: str
    split: str
    licence: str
    queries: int
    made_up: int
    pairs: int
    positives: int | None
    labels: Spread
    query_characters: Spread
    document_characters: Spread
    scored: int
    tokens: Lengths | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The training time: ``tokens`` of one pass, times ``passes``, times the time of a token."""

    tokens: int
    passes: float
    seconds_per_token: float
    seconds: float


def describe(
    sets: Sequence[TrainingSet], loss: Loss, *, tokenizer: Any = None, max_length: int = 512
) -> list[SetDescription]:
    """The figures of each set.

    ``tokenizer`` is the model's, a fast one of transformers. It measures at most 2,000 pairs of a
    set, always the same ones.
    """
    return [_described(each, loss, tokenizer, max_length) for each in sets]


def estimate(
    descriptions: Sequence[SetDescription],
    passes: float,
    seconds_per_token: Callable[[], float],
) -> Estimate:
    """The training time for ``passes`` over all sets, which must be described with tokens.

    ``seconds_per_token`` trains the real model on real rows for a moment and divides the time by
    the tokens of the pairs, without padding. Evaluation, loading and saving are not included.
    """
    tokens = round(sum(each.scored * each.tokens.mean_read for each in descriptions if each.tokens))
    seconds = seconds_per_token()
    return Estimate(tokens, passes, seconds, tokens * passes * seconds)


def as_text(descriptions: Sequence[SetDescription], estimated: Estimate | None = None) -> str:
    """The figures for people, some lines for each set."""
    lines = [line for each in descriptions for line in _lines(each)]
    if estimated is not None:
        lines.append(
            f"about {_time(estimated.seconds)}: {estimated.tokens:,} tokens a pass, "
            f"{estimated.passes:.3g} passes, {1 / estimated.seconds_per_token:,.0f} tokens a second"
        )
    return "\n".join(lines)


def _described(each: TrainingSet, loss: Loss, tokenizer: Any, max_length: int) -> SetDescription:
    labels = [label for group in each.groups for label in group.labels]
    bounded = all(0 <= label <= 1 for label in labels)
    return SetDescription(
        name=each.name,
        split=each.split,
        licence=each.licence,
        queries=len(each.groups),
        made_up=each.made_up,
        pairs=len(labels),
        positives=sum(label > POSITIVE_ABOVE for label in labels) if bounded else None,
        labels=_spread(labels),
        query_characters=_spread(len(group.query) for group in each.groups),
        document_characters=_spread(len(text) for group in each.groups for text in group.documents),
        scored=pairs_scored(each, loss),
        tokens=None if tokenizer is None or not labels else _lengths(each, tokenizer, max_length),
    )


def _spread(values: Iterable[float]) -> Spread:
    found = np.fromiter(values, dtype=np.float64)
    if not len(found):
        return Spread(0.0, 0.0, 0.0)
    return Spread(float(found.min()), float(found.mean()), float(found.max()))


def _lengths(each: TrainingSet, tokenizer: Any, max_length: int) -> Lengths:
    pairs = [(group.query, text) for group in each.groups for text in group.documents]
    step = -(-len(pairs) // _MEASURED_PAIRS)
    lengths = _tokens(pairs[::step], tokenizer)
    p50, p90, p99 = (int(np.percentile(lengths, p, method="higher")) for p in (50, 90, 99))
    return Lengths(
        pairs=len(lengths),
        p50=p50,
        p90=p90,
        p99=p99,
        most=int(lengths.max()),
        max_length=max_length,
        cut=float((lengths > max_length).mean()),
        mean_read=float(np.minimum(lengths, max_length).mean()),
    )


def _tokens(pairs: Sequence[tuple[str, str]], tokenizer: Any) -> NDArray[np.int64]:
    lengths: list[int] = []
    for start in range(0, len(pairs), _AT_ONCE):
        queries, documents = zip(*pairs[start : start + _AT_ONCE], strict=True)
        # verbose would warn of texts above the model's window, which are counted here.
        encoded = tokenizer(list(queries), list(documents), truncation=False, verbose=False)
        lengths += map(len, encoded["input_ids"])
    return np.array(lengths, dtype=np.int64)


def _lines(each: SetDescription) -> list[str]:
    made_up = f" ({each.made_up:,} made up)" if each.made_up else ""
    positives = "" if each.positives is None else f", {each.positives:,} positive"
    lines = [
        f"{each.name}/{each.split} ({each.licence or 'licence not stated'})",
        f"  {counted(each.queries, 'query', 'queries')}{made_up}, "
        f"{counted(each.pairs, 'pair')}{positives}, "
        f"{counted(each.scored, 'pair')} scored a pass",
        f"  labels: {_shown(each.labels, '.4g')}",
        f"  characters: query {_shown(each.query_characters, ',.0f')}; "
        f"document {_shown(each.document_characters, ',.0f')}",
    ]
    if each.tokens is not None:
        tokens = each.tokens
        lines.append(
            f"  tokens of {counted(tokens.pairs, 'pair')}: half up to {tokens.p50:,}, 90% up to "
            f"{tokens.p90:,}, 99% up to {tokens.p99:,}, all up to {tokens.most:,}; "
            f"{tokens.cut:.1%} are cut at {tokens.max_length:,}"
        )
    return lines


def _shown(spread: Spread, form: str) -> str:
    return f"{spread.least:{form}} to {spread.most:{form}}, mean {spread.mean:{form}}"


def _time(seconds: float) -> str:
    """A time in hours and minutes, in minutes, or in seconds."""
    if seconds >= 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
