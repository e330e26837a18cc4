"""The evaluation sets of a recipe; those made from collections become files of samples."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rerank_search import __version__
from rerank_search.errors import InvalidInputError
from rerank_search.files import atomic_file, atomic_write_json, disk_errors, make_folder
from rerank_search.judged.candidates import QUERIES_AT_ONCE
from rerank_search.judged.settings import CollectionSettings
from rerank_search.progress import Progress, quiet
from rerank_search.reranking.hit_text import passage
from rerank_search.settings import Settings
from rerank_search.training.data.corpus import SPARE, Corpus, fingerprint, opened_corpus, unranked
from rerank_search.training.data.questions import Question, judged_questions
from rerank_search.training.data.searched_sources import collection_of_folder
from rerank_search.training.data.texts import letters_and_digits
from rerank_search.training.recipe.measuring import EvaluationSet
from rerank_search.training.recipe.recipe import Recipe
from rerank_search.training.recipe.sources import ENCODER, Source
from rerank_search.types import Hit, JsonValue


def measured_on(recipe: Recipe, each: EvaluationSet, progress: Progress) -> CollectionSettings:
    """The settings of an evaluation set; if it has sources, its samples are made first.

    Raises what ``made_samples`` raises.
    """
    if each.pairs is not None:
        split = each.split if each.pairs.is_dir() else None
        return CollectionSettings(path=each.pairs, name=each.name, split=split)
    if each.samples is not None:
        return CollectionSettings(path=each.samples, name=each.name)
    file = made_samples(
        each,
        encoder=recipe.evaluation.encoder if recipe.evaluation is not None else ENCODER,
        seed=recipe.seed,
        file=recipe.beside("data") / "evaluation" / f"{each.name}.jsonl",
        cache=Settings().cache,
        progress=progress,
    )
    return CollectionSettings(path=file, name=each.name)


def made_samples(
    evaluation_set: EvaluationSet,
    *,
    encoder: str,
    seed: int,
    file: Path,
    cache: Path,
    progress: Progress = quiet,
) -> Path:
    """Write the samples of a set with ``sources`` to ``file``, and return it.

    Each judged query (``queries`` of a source are drawn by the seed) has its relevant documents as
    positives, and ``candidates`` documents: random ones that are not relevant, or the best ones of
    a first stage, relevant ones included. Texts are those that a search gives to a reranker. A
    source without a split has the split of the set. Queries without a text or without a relevant
    document in the corpus are left out.

    A file that was written for the same data and settings, which ``<file>.settings.json`` has, is
    not written again. The indexes are stored in ``cache``.

    Raises InvalidInputError for a collection that cannot be read or has no usable query,
    ModelNotFoundError before anything is computed, StorageFullError, and what indexes raise.
    """
    collections = [
        collection_of_folder(source, _split(source, evaluation_set))
        for source in evaluation_set.sources
    ]
    stage = evaluation_set.candidates_from
    stages = [] if stage == "random" else [stage]
    made_with = {
        "version": __version__,
        "seed": seed,
        "candidates": evaluation_set.candidates,
        "candidates_from": evaluation_set.candidates_from,
        "sources": [
            {
                "name": collection.name,
                "split": collection.split,
                "queries": source.queries,
                # Only if it is set: samples made before this setting existed stay valid.
                **({"ignore_identical_ids": True} if source.ignore_identical_ids else {}),
                **fingerprint(collection, encoder, stages),
            }
            for collection, source in zip(collections, evaluation_set.sources, strict=True)
        ],
    }
    settings = file.with_name(f"{file.name}.settings.json")
    if file.is_file() and _read(settings) == made_with:
        return file
    make_folder(file.parent)
    with disk_errors(file):
        # Remove the old settings first, in case the process ends before the new ones are written.
        settings.unlink(missing_ok=True)
    with atomic_file(file) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for collection, source in zip(collections, evaluation_set.sources, strict=True):
            rng = random.Random(f"{seed} {collection.name}")
            with opened_corpus(collection, encoder, cache, progress, stages) as corpus:
                questions, _ = judged_questions(collection, corpus, source.queries, rng)
                if not questions:
                    raise InvalidInputError(
                        f"{source.path} has nothing to evaluate with in the split "
                        f"{collection.split!r}, because no query with a text has a relevant "
                        "document in the corpus, or queries is 0: choose another split, or raise "
                        "queries"
                    )
                with progress(f"candidates of {collection.name}", len(questions)) as tick:
                    for sample in _samples(corpus, questions, evaluation_set, rng):
                        lines.write(json.dumps(sample, ensure_ascii=False) + "\n")
                        tick(1)
    atomic_write_json(settings, made_with)
    return file


def _split(source: Source, evaluation_set: EvaluationSet) -> str:
    """The source's split if it names one, else the set's: a source's default is for training."""
    return source.split if "split" in source.model_fields_set else evaluation_set.split


def _read(settings: Path) -> JsonValue:
    try:
        return json.loads(settings.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _samples(
    corpus: Corpus,
    questions: Sequence[Question],
    evaluation_set: EvaluationSet,
    rng: random.Random,
) -> Iterator[dict[str, Any]]:
    count, stage = evaluation_set.candidates, evaluation_set.candidates_from
    for start in range(0, len(questions), QUERIES_AT_ONCE):
        chunk = questions[start : start + QUERIES_AT_ONCE]
        texts = [question.text for question in chunk]
        if stage == "random":
            found = [corpus.drawn(count + SPARE, question.known, rng) for question in chunk]
        else:
            spare = any(question.own for question in chunk)
            found = [
                [hit for hit in hits if not (question.own and hit.id == question.id)][:count]
                for question, hits in zip(
                    chunk, corpus.retrieved(stage, texts, count + spare), strict=True
                )
            ]
        missed = [_missed(question, hits) for question, hits in zip(chunk, found, strict=True)]
        candidates = corpus.with_documents(corpus.scored(texts, found))
        added = corpus.with_documents(corpus.scored(texts, missed))
        for question, hits, others in zip(chunk, candidates, added, strict=True):
            relevant = [hit for hit in (*hits, *others) if hit.id in question.relevant]
            positive = _texts(relevant)
            documents = _texts(hits)
            if stage == "random":
                copies = set(map(letters_and_digits, positive))
                documents = [one for one in documents if letters_and_digits(one) not in copies]
            yield {"query": question.text, "positive": positive, "documents": documents[:count]}


def _missed(question: Question, hits: Sequence[Hit]) -> list[Hit]:
    found = {hit.id for hit in hits}
    return [unranked(id) for id in question.relevant if id not in found]


def _texts(hits: Sequence[Hit]) -> list[str]:
    """The texts of the hits that a reranker sees, without duplicates."""
    return list(dict.fromkeys(map(passage, hits)))
