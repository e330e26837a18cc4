"""When a static encoder pays: its speed and its quality beside MiniLM, which it is made from.

Usage: python eval/benchmarks/static_encoder.py [--model FOLDER]

Writes eval/results/static-encoder.md and .json. The static encoder has one vector for each token
of MiniLM's vocabulary, and averages them. Its vectors are distilled as model2vec does it: MiniLM's
vector of the token alone, reduced by a principal component analysis, and weighted by the token's
frequency (Arora et al., ICLR 2017), which its place in the vocabulary tells by Zipf's law.
--model keeps it in a folder. Quality and speed are measured on the documentation of the standard
library; MiniLM's quality is that in eval/results/vectors.json, which vectors.py writes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from report import RESULTS, table, write
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from vectors import HERE, MEASURES, STAGES

from rerank_search import Document, Encoder, Index
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import Experiment
from rerank_search.judged.loading import load_searched
from rerank_search.judged.settings import CollectionSettings
from rerank_search.models.registry import DEFAULT_ENCODER, resolve_encoder

COLLECTION = CollectionSettings(path=HERE / "collections/python-docs")
DIMENSION = 256
SIF = 1e-4
"""The constant of the weights, as in the paper: a rarer token than this counts fully."""

TOKENS_AT_ONCE = 1_024
TIMED = 1_000
"""Documents whose indexing is timed."""


def distilled(folder: Path) -> str:
    """Write the static encoder into ``folder``; returns its path."""
    directory = resolve_encoder(DEFAULT_ENCODER)
    whole = SentenceTransformer(directory, device="cpu")
    tokenizer = Tokenizer.from_file(f"{directory}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    vectors = reduced(token_vectors(whole, tokenizer)) * weights(tokenizer)[:, None]
    static = StaticEmbedding(tokenizer, embedding_weights=vectors.astype(np.float32))
    SentenceTransformer(modules=[static], device="cpu").save(str(folder), create_model_card=False)
    return str(folder)


def token_vectors(whole: SentenceTransformer, tokenizer: Tokenizer) -> NDArray[np.float64]:
    """MiniLM's vector of each token alone, shape (tokens, d)."""
    first, last = (tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    found = []
    for part in torch.arange(tokenizer.get_vocab_size()).split(TOKENS_AT_ONCE):
        ids = torch.stack([torch.full_like(part, first), part, torch.full_like(part, last)], dim=1)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.inference_mode():
            found.append(whole(inputs)["sentence_embedding"].double().numpy())
    return np.concatenate(found)


def reduced(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vectors in the ``DIMENSION`` directions in which they differ most."""
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    kept: NDArray[np.float64] = centred @ directions[:, ::-1][:, :DIMENSION]
    return kept


def weights(tokenizer: Tokenizer) -> NDArray[np.float64]:
    """The weight of each token: small if it is frequent, 0 if it is not a part of texts."""
    inverse_ranks = 1 / np.arange(2, tokenizer.get_vocab_size() + 2)
    found: NDArray[np.float64] = SIF / (SIF + inverse_ranks / inverse_ranks.sum())
    for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"):
        found[tokenizer.token_to_id(token)] = 0.0
    return found


def seconds(encoder: str, documents: list[Document]) -> float:
    """CPU seconds of indexing the documents, which other work on the machine changes least."""
    loaded = Encoder(encoder)
    loaded.encode(["what is loaded late is loaded now"])
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.create(Path(folder) / "index", encoder=loaded) as index,
    ):
        started = time.process_time()
        index.add(documents)
        return time.process_time() - started


def quality(encoder: str) -> list[float]:
    """The measures of each stage with this encoder."""
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(
            collections=[COLLECTION],
            first_stages=STAGES,
            candidates=[100],
            measures=MEASURES,
            index={"encoder": encoder},
            cost_queries=0,
        )
        report = evaluate(experiment, Path(folder))
    found = {each.first_stage: each.protocols["first_stage"] for each in report.systems}
    return [float(found[stage][measure]) for stage in STAGES for measure in MEASURES]


def known_quality() -> list[float]:
    """The measures of each stage with MiniLM's vectors in float32."""
    rows = json.loads((RESULTS / "vectors.json").read_text())["results"]["quality"]
    [found] = [
        values
        for collection, vectors, _, *values in rows
        if (collection, vectors) == (COLLECTION.path.name, "float32")
    ]
    return found


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="keep the static encoder in this folder")
    chosen = parser.parse_args().model
    with tempfile.TemporaryDirectory() as temporary:
        static = distilled(chosen or Path(temporary) / "static")
        encoders = {"MiniLM": DEFAULT_ENCODER, "static": static}
        timed = list(islice(load_searched(COLLECTION).documents(), TIMED))
        spent = {name: seconds(encoder, timed) for name, encoder in encoders.items()}
        rows = [["MiniLM", *known_quality()], ["static", *quality(static)]]
    speeds = [[name, TIMED / used] for name, used in spent.items()]
    speeds.append(["static / MiniLM", spent["MiniLM"] / spent["static"]])
    measured = [f"{stage} {measure}" for stage in STAGES for measure in MEASURES]
    shown = [[name, *(f"{value:.4f}" for value in values)] for name, *values in rows]
    write(
        "static-encoder",
        "A static encoder beside MiniLM",
        "python eval/benchmarks/static_encoder.py",
        {
            f"Quality on {COLLECTION.path.name}": table(["encoder", *measured], shown),
            f"Indexing {TIMED} documents": table(["encoder", "documents per CPU second"], speeds),
        },
        {"quality": rows, "documents_per_cpu_second": dict(speeds)},
    )


if __name__ == "__main__":
    main()
