"""Groups of a query, its positives and its negatives, chosen from first stages' results."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, zip_longest

from rerank_search.built_in_stages import BM25, DENSE
from rerank_search.judged.candidates import QUERIES_AT_ONCE
from rerank_search.judged.findings import Tally
from rerank_search.reranking.hit_text import passage
from rerank_search.training.data.corpus import SPARE, Corpus, unranked
from rerank_search.training.data.mined_file import MinedGroup
from rerank_search.training.data.questions import Question
from rerank_search.training.data.soft_labels import Rerankers, with_logits
from rerank_search.training.data.texts import letters_and_digits
from rerank_search.training.recipe.sources import Negatives, SoftLabels
from rerank_search.types import Hit


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A document with the text that a reranker would see."""

    hit: Hit
    text: str


@dataclass(frozen=True, slots=True)
class _Pool:
    """The candidates for a group; negatives are in the order of preference."""

    question: Question
    positives: Sequence[_Candidate]
    hard: Sequence[_Candidate]
    drawn: Sequence[_Candidate]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A group: a query, its positives and its negatives."""

    question: Question
    positives: Sequence[_Candidate]
    negatives: Sequence[_Candidate]

    @property
    def all(self) -> list[_Candidate]:
        return [*self.positives, *self.negatives]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(self.question.text, one.text) for one in self.all]


@dataclass(slots=True)
class _Queue:
    """The negatives of one query, taken until there are enough.

    One with a reranker's logit above ``bar`` is unusable.
    """

    query: str
    bar: float
    waiting: Sequence[_Candidate]
    wanted: int
    taken: list[_Candidate] = field(default_factory=list)

    def next(self) -> list[_Candidate]:
        """The next ones to try."""
        missing = self.wanted - len(self.taken)
        tried, self.waiting = self.waiting[:missing], self.waiting[missing:]
        return list(tried)


class Miner:
    """Makes groups for questions, and counts those that it leaves out."""

    def __init__(
        self,
        corpus: Corpus,
        negatives: Negatives,
        soft_labels: SoftLabels | None,
        rerankers: Rerankers,
        seed: str,
    ) -> None:
        self.corpus = corpus
        self._negatives = negatives
        self._soft_labels = soft_labels
        self._rerankers = rerankers
        self._seed = seed
        self._none_left = Tally("queries without any negative left, left out")
        self._too_few = Tally("queries with fewer negatives than per_query")
        self._not_cut = Tally("made-up queries not in their document's best passage, left out")
        self._false = Tally("candidates that the reranker considers relevant, left out")
        self.tallies = [self._none_left, self._too_few, self._not_cut, self._false]

    def rng(self, purpose: str) -> random.Random:
        """Random numbers that depend only on the seed and the purpose."""
        return random.Random(f"{self._seed}:{purpose}")

    def lines(
        self, questions: Sequence[Question], progress: Callable[[float], None]
    ) -> list[MinedGroup]:
        """The groups of the questions, without those that are left out."""
        lines: list[MinedGroup] = []
        for chunk in _chunks(questions):
            lines += self._lines(chunk)
            progress(len(chunk))
        return lines

    def foresee(self, *questions: Sequence[Question]) -> None:
        """Have rerankers that compute elsewhere score the pairs of these questions together.

        Nothing else is done, or counted.
        """

        def works() -> Iterator[Callable[[], object]]:
            again = Miner(
                self.corpus, self._negatives, self._soft_labels, self._rerankers, self._seed
            )
            for chunk in chain.from_iterable(map(_chunks, questions)):
                yield partial(again._lines, chunk)

        self._rerankers.foresee(works)

    def _lines(self, chunk: Sequence[Question]) -> list[MinedGroup]:
        groups = self._chosen([pool for pool in self._pools(chunk) if pool.positives])
        for group in groups:
            wanted = self._negatives.per_query * len(group.positives)
            if not group.negatives:
                self._none_left.add(f"query {group.question.id!r}")
            elif len(group.negatives) < wanted:
                few = f"{len(group.negatives)} of {wanted} for query {group.question.id!r}"
                self._too_few.add(few)
        return self._labelled([group for group in groups if group.negatives])

    def _pools(self, questions: Sequence[Question]) -> list[_Pool]:
        texts = [question.text for question in questions]
        depth = self._negatives.ranks[1] + max(len(question.known) for question in questions)
        by_stage = [
            self.corpus.retrieved(stage, texts, depth) for stage in self._negatives.first_stages
        ]
        rankings = list(zip(*by_stage, strict=True))
        known = [_known(*one) for one in zip(questions, rankings, strict=True)]
        hard = [self._in_range(*one) for one in zip(questions, rankings, strict=True)]
        drawn = [self._drawn(question) for question in questions]
        return [
            self._pool(question, *map(_candidates, hits))
            for question, *hits in zip(
                questions,
                self.corpus.with_documents(self.corpus.scored(texts, known)),
                self.corpus.with_documents(hard),
                self.corpus.with_documents(self.corpus.scored(texts, drawn)),
                strict=True,
            )
        ]

    def _in_range(self, question: Question, rankings: Sequence[Sequence[Hit]]) -> list[Hit]:
        """The hits of the first stages in the range of ranks, in the order of preference."""
        first, last = self._negatives.ranks
        hits = _union(
            [hit for hit in ranking if hit.id not in question.known][first - 1 : last]
            for ranking in rankings
        )
        if self._negatives.sampling == "random":
            return self.rng(f"hard {question.id}").sample(hits, len(hits))
        return hits

    def _drawn(self, question: Question) -> list[Hit]:
        """Random documents; enough, even if all other negatives are among them."""
        if self._negatives.random == 0:
            return []
        count = self._negatives.per_query * self._trained_with(question) + SPARE
        return self.corpus.drawn(count, question.known, self.rng(f"drawn {question.id}"))

    def _trained_with(self, question: Question) -> int:
        """Largest number of relevant documents in the question's group."""
        count = len(question.relevant)
        return min(self._negatives.positives_per_query or count, count)

    def _pool(
        self,
        question: Question,
        known: Sequence[_Candidate],
        hard: Sequence[_Candidate],
        drawn: Sequence[_Candidate],
    ) -> _Pool:
        relevant = [one for one in known if one.hit.id in question.relevant]
        rng = self.rng(f"positives {question.id}")
        positives = _distinct(rng.sample(relevant, self._trained_with(question)), set())
        scores = [one.hit.stage_scores for one in positives]
        best: dict[str, float] = {
            stage: max(each[stage] for each in scores if stage in each)
            for stage in self._negatives.first_stages
            if any(stage in each for each in scores)
        }
        far = [one for one in hard if self._is_far(one.hit.stage_scores, best)]
        if question.cut:
            positives = self._without_cut(question, positives[0])
        seen = {letters_and_digits(question.text), *_keys([*known, *positives])}
        return _Pool(question, positives, _distinct(far, seen), _distinct(drawn, seen))

    def _is_far(self, scores: Mapping[str, float], best: Mapping[str, float]) -> bool:
        """Whether each first stage that scored both keeps the margin to the best positive."""
        margin = self._negatives.margin
        return margin is None or all(
            scores[stage] <= best[stage] - margin for stage in best.keys() & scores.keys()
        )

    def _without_cut(self, question: Question, document: _Candidate) -> list[_Candidate]:
        rest = document.text.replace(question.cut, " ")
        if rest == document.text or not rest.strip():
            self._not_cut.add(f"document {document.hit.id!r}: {question.text!r:.60}")
            return []
        return [replace(document, text=rest)]

    def _chosen(self, pools: Sequence[_Pool]) -> list[_Chosen]:
        settings = self._negatives
        bars = self._bars(pools)
        hard = [
            _Queue(
                pool.question.text,
                bar,
                pool.hard,
                len(pool.positives) * (settings.per_query - settings.random),
            )
            for pool, bar in zip(pools, bars, strict=True)
        ]
        self._fill(hard)
        drawn = [
            _Queue(
                pool.question.text,
                bar,
                _distinct(pool.drawn, _keys(queue.taken)),
                len(pool.positives) * settings.random,
            )
            for pool, bar, queue in zip(pools, bars, hard, strict=True)
        ]
        self._fill(drawn)
        return [
            _Chosen(pool.question, pool.positives, ours.taken + others.taken)
            for pool, ours, others in zip(pools, hard, drawn, strict=True)
        ]

    def _fill(self, queues: Sequence[_Queue]) -> None:
        """Take as many negatives as wanted, and replace those that seem relevant."""
        while tried := [(queue, one) for queue in queues for one in queue.next()]:
            for queue, one in self._usable(tried):
                queue.taken.append(one)

    def _bars(self, pools: Sequence[_Pool]) -> list[float]:
        """For each pool the logit above which a candidate counts as relevant."""
        settings = self._negatives.false_negatives
        if settings is None:
            return [math.inf] * len(pools)
        pairs = [(pool.question.text, one.text) for pool in pools for one in pool.positives]
        logits = iter(self._rerankers.logits(settings.reranker, pairs))
        return [min(next(logits) for _ in pool.positives) - settings.margin for pool in pools]

    def _usable(self, tried: list[tuple[_Queue, _Candidate]]) -> list[tuple[_Queue, _Candidate]]:
        """The candidates that do not count as relevant."""
        settings = self._negatives.false_negatives
        if settings is None:
            return tried
        pairs = [(queue.query, one.text) for queue, one in tried]
        usable = []
        logits = self._rerankers.logits(settings.reranker, pairs)
        for (queue, one), logit in zip(tried, logits, strict=True):
            if logit > queue.bar:
                self._false.add(f"document {one.hit.id!r} for {queue.query!r:.60}")
            else:
                usable.append((queue, one))
        return usable

    def _labelled(self, groups: Sequence[_Chosen]) -> list[MinedGroup]:
        return [
            MinedGroup(
                query=group.question.text,
                positive=[one.text for one in group.positives],
                negative=[one.text for one in group.negatives],
                labels=labels,
                query_id=group.question.id,
                ids=[one.hit.id for one in group.all],
            )
            for group, labels in zip(groups, self._labels(groups), strict=True)
        ]

    def _labels(self, groups: Sequence[_Chosen]) -> Sequence[list[float] | None]:
        """The soft labels of each group; None without them."""
        soft = self._soft_labels
        if soft is None:
            return [None] * len(groups)
        scored = self.corpus.scored(
            [group.question.text for group in groups],
            [[one.hit for one in group.all] for group in groups],
        )
        labels = [
            [
                soft.cosine * hit.stage_scores.get(DENSE, 0.0)
                + soft.bm25 * hit.stage_scores.get(BM25, 0.0)
                + soft.gold * (place < len(group.positives))
                for place, hit in enumerate(hits)
            ]
            for group, hits in zip(groups, scored, strict=True)
        ]
        pairs = [group.pairs for group in groups]
        return with_logits(labels, pairs, soft.rerankers, self._rerankers)


def _chunks(questions: Sequence[Question]) -> Iterator[Sequence[Question]]:
    for start in range(0, len(questions), QUERIES_AT_ONCE):
        yield questions[start : start + QUERIES_AT_ONCE]


def _candidates(hits: Sequence[Hit]) -> list[_Candidate]:
    return [_Candidate(hit, passage(hit)) for hit in hits]


def _known(question: Question, rankings: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The known documents of a question, as a first stage found them, or unranked."""
    found = _union([hit for hit in ranking if hit.id in question.known] for ranking in rankings)
    missed = question.known - {hit.id for hit in found}
    return [*found, *map(unranked, sorted(missed))]


def _union(rankings: Iterable[Sequence[Hit]]) -> list[Hit]:
    """Each document of the rankings with its best rank, best rank first.

    It has the stage scores of all stages that found it.
    """
    union: dict[str, Hit] = {}
    for hits in zip_longest(*rankings):
        for hit in hits:
            if hit is not None:
                best = union.get(hit.id, hit)
                scores = {**hit.stage_scores, **best.stage_scores}
                union[hit.id] = replace(best, stage_scores=scores)
    return list(union.values())


def _distinct(candidates: Sequence[_Candidate], without: Set[str]) -> list[_Candidate]:
    """The first candidate of each key that is not among ``without``."""
    first: dict[str, _Candidate] = {}
    for candidate in candidates:
        first.setdefault(_key(candidate), candidate)
    return [candidate for key, candidate in first.items() if key not in without]


def _keys(candidates: Sequence[_Candidate]) -> set[str]:
    return {_key(candidate) for candidate in candidates}


def _key(candidate: _Candidate) -> str:
    """A key that near copies share."""
    return letters_and_digits(candidate.text)
