"""Models worth naming: the bundled ones with our figures, and others with those of their makers.

A fact stands here only if the maker's own page, paper or repository states it; None means that it
does not. Figures of different benchmarks, or after different first stages, cannot be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

LOOKED_UP = date(2026, 11, 30)
"""The day on which the facts were read from their pages."""

ENGLISH = "English"
"""The languages of a model that was made for English alone."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """Facts about a model, and the pages that state them.

    ``figure`` is a benchmark and the result there, written as on the page; "(6 encoders)" is the
    mean after six first stages. ``parameters`` are rounded as on the page. ``window`` is in tokens,
    of a text for an encoder and of a pair for a reranker; pages that say 8K or 32K give 8,000 and
    32,000. A static encoder has no window: it reads texts of any length.
    """

    name: str
    kind: Literal["reranker", "encoder"]
    parameters: int | None
    window: int | None
    languages: str | None
    licence: str | None
    figure: str | None
    pages: tuple[str, ...]


BUNDLED_FACTS = (
    KnownModel(
        name="rerank-search-base",
        kind="reranker",
        parameters=22_700_000,
        window=512,
        languages=ENGLISH,
        licence="Apache-2.0",
        figure="nDCG@10 +.057 to +.234 over BM25",
        pages=("eval/results/bundled-reranker.md",),
    ),
    KnownModel(
        name="rerank-search-tiny",
        kind="reranker",
        parameters=6_700_000,
        window=512,
        languages=ENGLISH,
        licence="Apache-2.0",
        figure="nDCG@10 +.029 to +.109 over BM25",
        pages=("eval/results/small-versions.md",),
    ),
)
"""The rerankers of this package, with figures of ``eval/results``: least and largest gain."""

KNOWN_RERANKERS = (
    KnownModel(
        name="cross-encoder/ettin-reranker-17m-v1",
        kind="reranker",
        parameters=17_600_000,
        window=8_000,
        languages=ENGLISH,
        licence="Apache-2.0",
        figure="MTEB(eng, v2) retrieval .5576 (6 encoders)",
        pages=("https://huggingface.co/blog/ettin-reranker",),
    ),
    KnownModel(
        name="cross-encoder/ettin-reranker-150m-v1",
        kind="reranker",
        parameters=150_900_000,
        window=7_999,
        languages=ENGLISH,
        licence="Apache-2.0",
        figure="MTEB(eng, v2) retrieval .5994 (6 encoders)",
        pages=(
            "https://huggingface.co/blog/ettin-reranker",
            "https://huggingface.co/cross-encoder/ettin-reranker-150m-v1",
        ),
    ),
    KnownModel(
        name="cross-encoder/ms-marco-MiniLM-L6-v2",
        kind="reranker",
        parameters=22_700_000,
        window=512,
        languages=ENGLISH,
        licence="Apache-2.0",
        figure="TREC DL 2019 nDCG@10 74.30",
        pages=(
            "https://www.sbert.net/docs/cross_encoder/pretrained_models.html",
            "https://www.sbert.net/docs/pretrained-models/ce-msmarco.html",
            "https://huggingface.co/cross-encoder/ms-marco-MiniLM-L6-v2",
            "https://huggingface.co/blog/ettin-reranker",
        ),
    ),
    KnownModel(
        name="Alibaba-NLP/gte-reranker-modernbert-base",
        kind="reranker",
        parameters=149_000_000,
        window=8_192,
        languages=ENGLISH,
        licence="Apache-2.0",
        figure="BEIR 56.19",
        pages=("https://huggingface.co/Alibaba-NLP/gte-reranker-modernbert-base",),
    ),
    KnownModel(
        name="BAAI/bge-reranker-v2-m3",
        kind="reranker",
        parameters=568_000_000,
        window=None,
        languages="multilingual",
        licence="Apache-2.0",
        figure=None,
        pages=(
            "https://huggingface.co/BAAI/bge-reranker-v2-m3",
            "https://github.com/FlagOpen/FlagEmbedding/blob/master/docs/source/bge/bge_reranker_v2.rst",
        ),
    ),
    KnownModel(
        name="mixedbread-ai/mxbai-rerank-base-v2",
        kind="reranker",
        parameters=494_000_000,
        window=8_000,
        languages="100+",
        licence="Apache-2.0",
        figure="BEIR 55.57",
        pages=("https://www.mixedbread.com/docs/reranking/models/mxbai-rerank-base-v2",),
    ),
    KnownModel(
        name="Qwen/Qwen3-Reranker-0.6B",
        kind="reranker",
        parameters=600_000_000,
        window=32_000,
        languages="100+",
        licence="Apache-2.0",
        figure="MTEB(eng, v2) retrieval 65.80",
        pages=("https://qwen.ai/blog?id=qwen3-embedding",),
    ),
)
"""Rerankers that sentence-transformers loads without code of their own; English ones first."""

KNOWN_ENCODERS = (
    KnownModel(
        name="sentence-transformers/all-MiniLM-L6-v2",
        kind="encoder",
        parameters=22_700_000,
        window=256,
        languages=ENGLISH,
        licence="Apache-2.0",
        figure=None,
        pages=("https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",),
    ),
    KnownModel(
        name="minishlab/potion-retrieval-32M",
        kind="encoder",
        parameters=32_300_000,
        window=None,
        languages=ENGLISH,
        licence="MIT",
        figure="MTEB retrieval 36.35",
        pages=(
            "https://github.com/MinishLab/model2vec/blob/main/results/README.md",
            "https://github.com/MinishLab/model2vec",
            "https://huggingface.co/minishlab/potion-retrieval-32M",
        ),
    ),
    KnownModel(
        name="Snowflake/snowflake-arctic-embed-xs",
        kind="encoder",
        parameters=22_000_000,
        window=512,
        languages=None,
        licence="Apache-2.0",
        figure="MTEB retrieval nDCG@10 50.15",
        pages=("https://github.com/Snowflake-Labs/arctic-embed",),
    ),
    KnownModel(
        name="BAAI/bge-small-en-v1.5",
        kind="encoder",
        parameters=33_400_000,
        window=512,
        languages=ENGLISH,
        licence="MIT",
        figure="MTEB retrieval 51.68",
        pages=(
            "https://huggingface.co/BAAI/bge-small-en-v1.5",
            "https://github.com/FlagOpen/FlagEmbedding/tree/master/research/baai_general_embedding",
            "https://github.com/FlagOpen/FlagEmbedding/blob/master/docs/source/bge/bge_v1_v1.5.rst",
        ),
    ),
    KnownModel(
        name="intfloat/multilingual-e5-small",
        kind="encoder",
        parameters=None,
        window=None,
        languages="multilingual",
        licence="MIT",
        figure="BEIR 46.6",
        pages=("https://github.com/microsoft/unilm/tree/master/e5",),
    ),
    KnownModel(
        name="google/embeddinggemma-300m",
        kind="encoder",
        parameters=308_000_000,
        window=2_048,
        languages="100+",
        licence="Gemma",
        figure="MTEB(Multilingual, v2) mean 61.15",
        pages=(
            "https://ai.google.dev/gemma/docs/embeddinggemma/model_card",
            "https://huggingface.co/google/embeddinggemma-300m",
        ),
    ),
    KnownModel(
        name="Qwen/Qwen3-Embedding-0.6B",
        kind="encoder",
        parameters=600_000_000,
        window=32_000,
        languages="100+",
        licence="Apache-2.0",
        figure="MTEB(eng, v2) retrieval 61.82",
        pages=("https://qwen.ai/blog?id=qwen3-embedding",),
    ),
)
"""Encoders that sentence-transformers loads without code of their own; English ones first."""


def only_english(name: str) -> bool:
    """Whether the model of that name is known to be made for English alone.

    The name may lack the organisation, as in "all-MiniLM-L6-v2".
    """
    known = (*BUNDLED_FACTS, *KNOWN_RERANKERS, *KNOWN_ENCODERS)
    return any(each.languages == ENGLISH and f"/{each.name}".endswith(f"/{name}") for each in known)
