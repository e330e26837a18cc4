"""Measures of rankings as trec_eval defines them, query by query."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rerank_search.declared import did_you_mean
from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.judged.collection import Qrels
from rerank_search.shown import counted

if TYPE_CHECKING:
    from ir_measures import Measure

# Allowed spellings in lower case, and the names that users see.
_SPELLINGS = {
    "map": "MAP",
    "ap": "MAP",
    "mrr": "MRR",
    "rr": "MRR",
    "ndcg": "nDCG",
    "r": "R",
    "recall": "R",
    "p": "P",
    "precision": "P",
    "success": "Success",
    "judged": "Judged",
}
_WHOLE_RANKING = ("MAP", "MRR", "nDCG")
_NAME = re.compile(r"([^@]+?)(?:@([1-9][0-9]{0,5}))?")


def canonical(names: Sequence[str]) -> list[str]:
    """The measures by the names that users see: ``["recall@100", "AP"]`` is ``["R@100", "MAP"]``.

    Case does not matter, AP is MAP, RR is MRR, Recall is R, Precision is P. ``@k`` measures the
    first k results; MAP, MRR and nDCG without it measure the whole ranking. Duplicates are removed.
    Raises InvalidInputError for an unknown measure, or none at all.
    """
    if not names:
        raise InvalidInputError("measures is empty: give at least one, such as nDCG@10")
    return list(dict.fromkeys(_canonical(name) for name in names))


def cut_too_deep(measures: Sequence[str], depth: int) -> list[str]:
    """The measures with a cut-off beyond ``depth`` candidates, as at most one warning.

    ``measures`` are spelled as ``canonical`` returns them.
    """
    deeper = [name for name in measures if int(name.partition("@")[2] or 0) > depth]
    if not deeper:
        return []
    return [
        f"each query has {counted(depth, 'candidate')}, too few for {', '.join(deeper)}: evaluate "
        "more candidates, or choose a smaller cut-off"
    ]


def _canonical(name: str) -> str:
    match = _NAME.fullmatch(name.strip())
    if match is None:
        raise InvalidInputError(
            f"the measure {name!r} has no valid cut-off: write a whole number from 1 to 999999 "
            "after one @, as in nDCG@10"
        )
    spelling, cutoff = match.groups()
    measure = _SPELLINGS.get(spelling.lower())
    if measure is None:
        raise InvalidInputError(
            f"there is no measure {name!r}: use MAP, MRR or nDCG, with or without a cut-off such "
            "as @10, or R, P, Success or Judged with a "
            f"cut-off{did_you_mean(spelling.lower(), list(_SPELLINGS))}"
        )
    if cutoff is None:
        if measure not in _WHOLE_RANKING:
            raise InvalidInputError(
                f"the measure {name!r} needs a cut-off: write, for example, {measure}@10"
            )
        return measure
    return f"{measure}@{cutoff}"


class Scorer:
    """Measures rankings against judgements, with trec_eval's definitions.

    nDCG has the grades themselves as gains, discounted by log2(rank + 1) (trec_eval's
    ``ndcg_cut``). The others are binary: a grade of ``relevant_from`` or more is relevant. MRR@k
    is the reciprocal rank of the first relevant document among the first k, else 0. Judged@k is
    the share of the first k (or of all, if there are fewer) with any judgement. Grades of 0 and
    less, and documents without a grade, are not relevant.

    The work is done by ir-measures and, for all but MRR@k and Judged@k, by pytrec_eval.
    """

    def __init__(self, qrels: Qrels, measures: Sequence[str], *, relevant_from: int = 1) -> None:
        """``measures`` are as ``canonical`` takes them.

        Raises InvalidInputError for an unknown measure or a ``relevant_from`` below 1, and
        MissingDependencyError without ir-measures.
        """
        if relevant_from < 1:
            raise InvalidInputError(
                f"relevant_from={relevant_from} is too low: give at least 1, because a grade of 0 "
                "or less means not relevant"
            )
        ir_measures = _ir_measures()
        self._qrels = qrels
        self._names: dict[Measure, str] = {
            _measure(ir_measures, name, relevant_from): name for name in canonical(measures)
        }
        # Name the providers: otherwise ir-measures uses any that is installed.
        self._provider = ir_measures.providers.FallbackProvider(
            [ir_measures.pytrec_eval, ir_measures.judged, ir_measures.msmarco]
        )

    def score(self, rankings: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
        """Query id to measure to value, for every query of ``rankings``.

        A ranking is a list of document ids, best first. An empty ranking has 0.0 in every measure.
        Raises InvalidInputError for a query without judgements, for a duplicate document in one
        ranking, and for an id with a null character.
        """
        values = {query: dict.fromkeys(self._names.values(), 0.0) for query in rankings}
        qrels: dict[str, dict[str, int]] = {}
        run: dict[str, dict[str, float]] = {}
        for query, ranking in rankings.items():
            if query not in self._qrels:
                raise InvalidInputError(
                    f"the query {query!r} has no judgements: measure only judged queries"
                )
            if ranking:
                _check_ids(query, [query, *ranking, *self._qrels[query]])
                # If all grades of a query are negative, pytrec_eval reads memory of others
                # and may count for minutes.
                grades = self._qrels[query].items()
                qrels[query] = {document: max(grade, 0) for document, grade in grades}
                run[query] = _descending(query, ranking)
        # Give only these queries' judgements: ir-measures goes through all of them at every
        # call, which would make many small calls on a large collection slow.
        for metric in self._provider.iter_calc(self._names, qrels, run):
            values[metric.query_id][self._names[metric.measure]] = float(metric.value)
        return values


def _check_ids(query: str, ids: Sequence[str]) -> None:
    # pytrec_eval ends an id there, so two documents would become one.
    if "\0" in "".join(ids):
        cut = next(id for id in ids if "\0" in id)
        raise InvalidInputError(
            f"the id {cut!r}, of the query {query!r} or of a document judged or ranked for it, "
            "contains a null character: rename it"
        )


def _descending(query: str, ranking: Sequence[str]) -> dict[str, float]:
    """Scores without ties, which keep the given order."""
    scores = {document: float(-place) for place, document in enumerate(ranking)}
    if len(scores) != len(ranking):
        twice = next(document for document in ranking if ranking.count(document) > 1)
        raise InvalidInputError(
            f"the ranking of the query {query!r} has the document {twice!r} twice: keep only the "
            "better one"
        )
    return scores


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError:
        raise MissingDependencyError(
            "evaluation needs ir-measures: pip install 'rerank-search[eval]'"
        ) from None
    return ir_measures


def _measure(ir_measures: Any, name: str, relevant_from: int) -> Measure:
    kind, _, cutoff = name.partition("@")
    relevant = {} if kind in ("nDCG", "Judged") else {"rel": relevant_from}
    bounds = {"cutoff": int(cutoff)} if cutoff else {}
    measure: Measure = getattr(ir_measures, kind)(**relevant, **bounds)
    return measure
