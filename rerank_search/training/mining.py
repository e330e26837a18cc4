"""Groups for training out of a collection: relevant documents, hard negatives, teachers' labels."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rerank_search import __version__
from rerank_search.errors import InvalidInputError
from rerank_search.files import atomic_file, disk_errors
from rerank_search.judged.candidates import QUERIES_AT_ONCE
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.findings import Finding, Tally, findings
from rerank_search.progress import Progress, quiet
from rerank_search.searcher import passage
from rerank_search.training.collection import (
    SPARE,
    Corpus,
    Question,
    collection_of_folder,
    collection_of_pairs,
    fingerprint,
    judged_questions,
    opened_corpus,
    unranked,
)
from rerank_search.training.data import Group, TrainingSet, letters_and_digits
from rerank_search.training.recipe import Negatives, SoftLabels, Source
from rerank_search.training.teachers import Rerankers, with_logits
from rerank_search.types import Hit

_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def mined_set(
    source: Source,
    negatives: Negatives,
    soft_labels: SoftLabels | None,
    *,
    seed: int,
    file: Path,
    cache: Path,
    device: str | None = None,
    progress: Progress = quiet,
) -> TrainingSet:
    """A group for each query of a collection: its relevant documents, then their negatives.

    Mined pairs are such a collection too. Candidates are what the first stages of the collection's
    index find, as a search finds them, and texts are what a search gives to a reranker: the title
    and the best passage. No negative is judged relevant for the query (or one with the same text),
    or differs from such a document, or from the query, only in case and punctuation. Margins and
    false negatives go by the relevant documents that are in the group. Made-up queries come last.

    The groups are in ``file``: read if it was written for the same data and settings, otherwise
    mined and written. The same seed gives the same file. The index and rerankers' scores are kept
    in ``cache``, so that an interrupted run goes on. ``device`` is that of the rerankers.

    Raises InvalidInputError for a collection that cannot be read or gives no group,
    ModelNotFoundError before anything is computed, StorageFullError, and what indexes and
    rerankers raise.
    """
    named = [] if negatives.false_negatives is None else [negatives.false_negatives.reranker]
    named += [] if soft_labels is None else [each.reranker for each in soft_labels.rerankers]
    with closing(Rerankers(named, device, cache)) as rerankers:
        collection = (
            collection_of_pairs(source)
            if source.mined
            else collection_of_folder(source, source.split)
        )
        made_with = _made_with(collection, source, negatives, soft_labels, seed)
        made_with["rerankers"] = rerankers.fingerprints
        mined = _stored(file, made_with)
        if mined is None:
            with opened_corpus(collection, negatives.encoder, cache, progress) as corpus:
                seeded = f"{seed} {collection.name}"
                miner = _Miner(corpus, negatives, soft_labels, rerankers, seeded)
                mined = _mined(collection, source, miner, made_with, progress)
            _write(file, mined)
    return TrainingSet(
        name=source.name,
        split=collection.split,
        licence=source.licence,
        groups=[line.group() for line in mined.lines],
        # A BEIR folder's own are about more than what is trained on.
        findings=[*(collection.findings if source.mined else ()), *mined.settings.findings],
        made_up=mined.settings.made_up,
    )


def _made_with(
    collection: JudgedCollection,
    source: Source,
    negatives: Negatives,
    soft_labels: SoftLabels | None,
    seed: int,
) -> dict[str, Any]:
    """Everything but the rerankers that the groups follow from; of models, the weights."""
    mining = negatives.model_dump(
        mode="json", exclude={"encoder": True, "false_negatives": {"reranker"}}
    )
    labels = soft_labels and soft_labels.model_dump(
        mode="json", exclude={"rerankers": {"__all__": {"reranker"}}}
    )
    return {
        "version": __version__,
        "name": collection.name,
        "seed": seed,
        **source.model_dump(mode="json", include={"split", "queries", "made_up"}),
        **fingerprint(collection, negatives.encoder),
        "negatives": mining,
        "soft_labels": labels,
        # Only where it is set, so that what was mined before it was there is taken as it is.
        **({"ignore_identical_ids": True} if source.ignore_identical_ids else {}),
    }


class _Settings(BaseModel):
    """What a file of groups was made with and what was found, its first line."""

    made_with: dict[str, Any]
    groups: int
    made_up: int
    findings: list[Finding]


class _Head(BaseModel):
    settings: _Settings


class _Line(BaseModel):
    """A group: one of the other lines of the file. ``ids`` and ``labels`` begin with positives."""

    query: str
    positive: list[str]
    negative: list[str]
    labels: list[float] | None = None
    query_id: str
    ids: list[str]

    def group(self) -> Group:
        gold = [1.0] * len(self.positive) + [0.0] * len(self.negative)
        labels = gold if self.labels is None else self.labels
        return Group(self.query, self.positive + self.negative, labels)


@dataclass(frozen=True, slots=True)
class _Mined:
    settings: _Settings
    lines: Sequence[_Line]


def _stored(file: Path, made_with: Mapping[str, Any]) -> _Mined | None:
    """What the file has; None where there is none, or of other settings, or a damaged one."""
    try:
        with file.open("rb") as lines:
            settings = _Head.model_validate_json(next(lines, b"")).settings
            if settings.made_with != made_with:
                return None
            mined = _Mined(settings, [_Line.model_validate_json(line) for line in lines])
    except (FileNotFoundError, ValidationError):
        return None
    return mined if len(mined.lines) == settings.groups else None


def _write(file: Path, mined: _Mined) -> None:
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as temporary, temporary.open("w", encoding="utf-8") as lines:
        lines.write(_Head(settings=mined.settings).model_dump_json() + "\n")
        for line in mined.lines:
            lines.write(line.model_dump_json(exclude_none=True) + "\n")


def _mined(
    collection: JudgedCollection,
    source: Source,
    miner: _Miner,
    made_with: dict[str, Any],
    progress: Progress,
) -> _Mined:
    judged, tallies = judged_questions(
        collection, miner.corpus, source.queries, miner.rng("queries")
    )
    made_up = _made_up(miner.corpus, source.made_up, miner.rng("made up"))
    if len(made_up) < source.made_up:
        few = f"queries could be made up, and {source.made_up:,} were asked for"
        tallies.append(Tally(few, len(made_up), "too few documents have sentences of fit length"))
    with progress(f"mining {collection.name}", len(judged) + len(made_up)) as tick:
        lines = miner.lines(judged, tick)
        from_made_up = miner.lines(made_up, tick)
    found = findings([*tallies, *miner.tallies])
    lines += from_made_up
    if not lines:
        raise InvalidInputError(
            f"{source.path} gives nothing to train on in the split {collection.split!r}: "
            f"{'; '.join(map(str, found)) or 'no query was drawn'}; fix the data, or change "
            f"{'queries' if source.mined else 'queries, made_up'} or [negatives]"
        )
    settings = _Settings(
        made_with=made_with, groups=len(lines), made_up=len(from_made_up), findings=found
    )
    return _Mined(settings, lines)


def _made_up(corpus: Corpus, count: int, rng: random.Random) -> list[Question]:
    """Queries cut out of documents; fewer than ``count`` where too few can be cut."""
    questions: list[Question] = []
    for document in corpus.shuffled(rng):
        if len(questions) == count:
            break
        sentences = _SENTENCE.split(document.text)
        usable = [sentence for sentence in sentences if 5 <= len(sentence.split()) <= 30]
        if len(sentences) >= 3 and usable:
            cut = rng.choice(usable)
            only = frozenset([document.id])
            questions.append(
                Question(f"made up: {document.id}", cut.rstrip(".!"), [document.id], only, cut)
            )
    return questions


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A document with the text that a reranker would see of it."""

    hit: Hit
    text: str


@dataclass(frozen=True, slots=True)
class _Pool:
    """What a group is chosen from: negatives in the order in which they are to be taken."""

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
    """Negatives of one query to take from until there are enough.

    A reranker's logit above ``bar`` makes one unusable.
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


class _Miner:
    """Makes the groups of questions, and counts what it leaves out."""

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
        self._none_left = Tally("queries that no negative is left for, left out")
        self._too_few = Tally("queries with fewer negatives than per_query")
        self._not_cut = Tally("made-up queries not in their document's best passage, left out")
        self._false = Tally("candidates that the reranker takes for relevant, left out")
        self.tallies = [self._none_left, self._too_few, self._not_cut, self._false]

    def rng(self, purpose: str) -> random.Random:
        """Numbers that follow from the seed and the purpose alone."""
        return random.Random(f"{self._seed}:{purpose}")

    def lines(
        self, questions: Sequence[Question], progress: Callable[[float], None]
    ) -> list[_Line]:
        """The groups of the questions, without those that are left out."""
        lines: list[_Line] = []
        for start in range(0, len(questions), QUERIES_AT_ONCE):
            chunk = questions[start : start + QUERIES_AT_ONCE]
            groups = self._chosen([pool for pool in self._pools(chunk) if pool.positives])
            for group in groups:
                wanted = self._negatives.per_query * len(group.positives)
                if not group.negatives:
                    self._none_left.add(f"query {group.question.id!r}")
                elif len(group.negatives) < wanted:
                    few = f"{len(group.negatives)} of {wanted} for query {group.question.id!r}"
                    self._too_few.add(few)
            lines += self._labelled([group for group in groups if group.negatives])
            progress(len(chunk))
        return lines

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
        """What the first stages found in the range of ranks, in the order to be taken."""
        first, last = self._negatives.ranks
        hits = _union(
            [hit for hit in ranking if hit.id not in question.known][first - 1 : last]
            for ranking in rankings
        )
        if self._negatives.sampling == "random":
            return self.rng(f"hard {question.id}").sample(hits, len(hits))
        return hits

    def _drawn(self, question: Question) -> list[Hit]:
        """Documents at random; enough, even where all other negatives are among them."""
        if self._negatives.random == 0:
            return []
        count = self._negatives.per_query * self._trained_with(question) + SPARE
        return self.corpus.drawn(count, question.known, self.rng(f"drawn {question.id}"))

    def _trained_with(self, question: Question) -> int:
        """How many relevant documents its group has, at most."""
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
        """Whether there is a margin to the best positive, in each first stage that scored both."""
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
        """Take as many as are wanted, and others in place of those that are taken for relevant."""
        while tried := [(queue, one) for queue in queues for one in queue.next()]:
            for queue, one in self._usable(tried):
                queue.taken.append(one)

    def _bars(self, pools: Sequence[_Pool]) -> list[float]:
        """The logit above which a candidate of each pool is taken for relevant."""
        settings = self._negatives.false_negatives
        if settings is None:
            return [math.inf] * len(pools)
        pairs = [(pool.question.text, one.text) for pool in pools for one in pool.positives]
        logits = iter(self._rerankers.logits(settings.reranker, pairs))
        return [min(next(logits) for _ in pool.positives) - settings.margin for pool in pools]

    def _usable(self, tried: list[tuple[_Queue, _Candidate]]) -> list[tuple[_Queue, _Candidate]]:
        """Those that are not taken for relevant."""
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

    def _labelled(self, groups: Sequence[_Chosen]) -> list[_Line]:
        return [
            _Line(
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
        """The soft labels of each group, where there are any."""
        soft = self._soft_labels
        if soft is None:
            return [None] * len(groups)
        scored = self.corpus.scored(
            [group.question.text for group in groups],
            [[one.hit for one in group.all] for group in groups],
        )
        labels = [
            [
                soft.cosine * hit.stage_scores.get("dense", 0.0)
                + soft.bm25 * hit.stage_scores.get("bm25", 0.0)
                + soft.gold * (place < len(group.positives))
                for place, hit in enumerate(hits)
            ]
            for group, hits in zip(groups, scored, strict=True)
        ]
        pairs = [group.pairs for group in groups]
        return with_logits(labels, pairs, soft.rerankers, self._rerankers)


def _candidates(hits: Sequence[Hit]) -> list[_Candidate]:
    return [_Candidate(hit, passage(hit)) for hit in hits]


def _known(question: Question, rankings: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The known documents of a question: as a first stage found them, or unranked."""
    found = _union([hit for hit in ranking if hit.id in question.known] for ranking in rankings)
    missed = question.known - {hit.id for hit in found}
    return [*found, *map(unranked, sorted(missed))]


def _union(rankings: Iterable[Sequence[Hit]]) -> list[Hit]:
    """Each document of the rankings as the stage that ranks it best found it, best rank first.

    Its stage scores are those of all stages that found it.
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
    """What near copies have in common."""
    return letters_and_digits(candidate.text)
