"""Mines training groups from a collection: relevant documents, hard negatives, soft labels."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from rerank_search import __version__
from rerank_search.compute import HERE, Compute
from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.findings import Tally, findings
from rerank_search.progress import Progress, quiet
from rerank_search.training.data.corpus import fingerprint, opened_corpus
from rerank_search.training.data.groups import TrainingSet
from rerank_search.training.data.made_up import made_up_questions
from rerank_search.training.data.mined_file import (
    MinedGroups,
    MinedSettings,
    read_mined,
    write_mined,
)
from rerank_search.training.data.negatives import Miner
from rerank_search.training.data.questions import judged_questions
from rerank_search.training.data.searched_sources import collection_of_folder, collection_of_pairs
from rerank_search.training.data.soft_labels import Rerankers
from rerank_search.training.recipe.sources import Negatives, SoftLabels, Source


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
    compute: Compute = HERE,
) -> TrainingSet:
    """A group for each query of a collection: its relevant documents, then their negatives.

    Mined pairs are also such a collection. Candidates come from the first stages of the
    collection's index, as in a search, and texts are those that a search gives to a reranker: the
    title and the best passage. A negative is never judged relevant for the query (or for one with
    the same text), and differs from such a document, and from the query, in more than case and
    punctuation. Margins and false negatives are relative to the relevant documents of the group.
    Made-up queries come last.

    The groups are read from ``file`` if it was written for the same data and settings, otherwise
    mined and written. The same seed gives the same file. The index and the rerankers' scores are
    stored in ``cache``, from which an interrupted run continues. ``device`` is for the rerankers.
    ``compute`` says where they are computed, and where documents are encoded.

    Raises InvalidInputError for a collection that cannot be read or gives no group,
    ModelNotFoundError before anything is computed, StorageFullError, and what indexes and
    rerankers raise.
    """
    named = [] if negatives.false_negatives is None else [negatives.false_negatives.reranker]
    named += [] if soft_labels is None else [each.reranker for each in soft_labels.rerankers]
    with closing(Rerankers(named, device, cache, compute)) as rerankers:
        collection = (
            collection_of_pairs(source)
            if source.mined
            else collection_of_folder(source, source.split)
        )
        made_with = _made_with(collection, source, negatives, soft_labels, seed)
        made_with["rerankers"] = rerankers.fingerprints
        mined = read_mined(file, made_with)
        if mined is None:
            opened = opened_corpus(
                collection, negatives.encoder, cache, progress, negatives.first_stages, compute
            )
            with opened as corpus:
                seeded = f"{seed} {collection.name}"
                miner = Miner(corpus, negatives, soft_labels, rerankers, seeded)
                mined = _mined(collection, source, miner, made_with, progress)
            write_mined(file, mined)
    return TrainingSet(
        name=source.name,
        split=collection.split,
        licence=source.licence,
        groups=[line.group() for line in mined.lines],
        # The folder's own findings are also about queries that are not used for training.
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
    """Everything that decides the groups, except rerankers; models by their weights."""
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
        **fingerprint(collection, negatives.encoder, negatives.first_stages),
        "negatives": mining,
        "soft_labels": labels,
        # Only if it is set: files mined before this setting existed stay valid.
        **({"ignore_identical_ids": True} if source.ignore_identical_ids else {}),
    }


def _mined(
    collection: JudgedCollection,
    source: Source,
    miner: Miner,
    made_with: dict[str, Any],
    progress: Progress,
) -> MinedGroups:
    judged, tallies = judged_questions(
        collection, miner.corpus, source.queries, miner.rng("queries")
    )
    made_up = made_up_questions(miner.corpus, source.made_up, miner.rng("made up"))
    if len(made_up) < source.made_up:
        few = f"queries could be made up, of {source.made_up:,} asked for"
        tallies.append(
            Tally(few, len(made_up), "too few documents have sentences of a suitable length")
        )
    miner.foresee(judged, made_up)
    with progress(f"mining {collection.name}", len(judged) + len(made_up)) as tick:
        lines = miner.lines(judged, tick)
        from_made_up = miner.lines(made_up, tick)
    found = findings([*tallies, *miner.tallies])
    lines += from_made_up
    if not lines:
        raise InvalidInputError(
            f"{source.path} gives nothing to train on in the split {collection.split!r} "
            f"({'; '.join(map(str, found)) or 'no query was drawn'}): fix the data, or change "
            f"{'queries' if source.mined else 'queries, made_up'} or [negatives]"
        )
    settings = MinedSettings(
        made_with=made_with, groups=len(lines), made_up=len(from_made_up), findings=found
    )
    return MinedGroups(settings, lines)
