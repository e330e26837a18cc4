"""The languages of an index's documents, by a sample, and the warning about English models."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from rerank_search.languages import language_of
from rerank_search.models.known import only_english
from rerank_search.models.registry import AUTO, reranker_name
from rerank_search.retrieval.analysis.auto import AUTO as SEVERAL
from rerank_search.retrieval.analysis.multilingual import MULTILINGUAL
from rerank_search.retrieval.analysis.plain import ENGLISH
from rerank_search.retrieval.analysis.stemmed import BY_CODE
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.manifest import LanguageSample, Manifest

SAMPLED = 64
"""Most documents of a sample: a few milliseconds."""

GROWTH = 1.1
"""Growth or shrinking of an index after which a new sample is taken."""

NEARLY_ALL = 0.9
"""Least share of the documents in one language for which its own analyzer is named."""

SHOWN = 5
"""Most languages that the warning names."""

LEAST = 5
"""Fewest documents in other languages that are warned about."""

_ENGLISH = "en"

logger = logging.getLogger(__name__)


def renewed_sample(
    path: Path, manifest: Manifest, store: DocumentStore, documents: int
) -> LanguageSample | None:
    """The languages of the ``documents`` that the index has now; None if there are none.

    That is the sample of the last publication if the index has hardly grown since. Warns if most
    documents are not in English, unless they were not before either, and if the analyzer or the
    models are made for English.
    """
    before = manifest.published.languages
    if before is not None and 1 / GROWTH < documents / before.documents < GROWTH:
        return before
    texts = store.beginnings(SAMPLED)
    if not texts:
        return None
    found = Counter(language for text in texts if (language := language_of(text)))
    sample = LanguageSample(
        documents=documents, sampled=len(texts), found=dict(found.most_common())
    )
    if mostly_not_english(sample) and not mostly_not_english(before):
        _warn(path, manifest, sample)
    return sample


def mostly_not_english(sample: LanguageSample | None) -> bool:
    """Whether most documents are known to be in other languages than English, and not few."""
    if sample is None:
        return False
    others = sum(sample.found.values()) - sample.found.get(_ENGLISH, 0)
    return others >= LEAST and 2 * others > sample.sampled


def _warn(path: Path, manifest: Manifest, sample: LanguageSample) -> None:
    """Log one warning that names what was made for English, and what to use instead."""
    encoder, reranker = manifest.encoder, reranker_name(AUTO)
    english, again, helps = [], [], []
    if encoder is not None and only_english(encoder.name):
        english.append(f"the encoder {encoder.name} (searches leave its vectors out by default)")
        again.append("a multilingual encoder")
    if manifest.analyzer == ENGLISH.name:
        english.append("the analyzer english")
        again.append(f"analyzer={_better_analyzer(sample)!r}")
    if again:
        helps.append(f"create the index again with {' and '.join(again)}")
    if only_english(reranker):
        english.append(f"the default reranker {reranker}")
        helps.append("search with a multilingual reranker, or with rerank=False")
    if english:
        logger.warning(
            "most documents of %s are not in English (of %d looked at: %s). Made for English: %s. "
            "What helps: %s. `rerank-search models` names multilingual models",
            path,
            sample.sampled,
            _counted(sample),
            ", ".join(english),
            "; ".join(helps),
        )


def _better_analyzer(sample: LanguageSample) -> str:
    """The analyzer for the language of nearly all documents, or for several languages."""
    language, most = max(sample.found.items(), key=lambda counted: counted[1])
    if most < NEARLY_ALL * sum(sample.found.values()):
        return SEVERAL.name
    return BY_CODE[language].name if language in BY_CODE else MULTILINGUAL.name


def _counted(sample: LanguageSample) -> str:
    """The number of documents in each language, the most frequent ones by their names."""
    counted = [f"{count} {code}" for code, count in sample.found.items()]
    if len(counted) > SHOWN:
        counted[SHOWN:] = [f"and {len(counted) - SHOWN} more languages"]
    return ", ".join(counted)
