"""Tiny random encoders of every kind that sentence-transformers loads, as files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tiny_rerankers import MODERN, OFFSET, PLAIN, SIZES, WINDOW, network, qwen, tokenizer

WIDTH: int = SIZES["hidden_size"]

E5 = {"query": "query: ", "document": "passage: "}
"""Prompts like those of E5."""


def encoder(
    kind: str,
    words: str,
    *,
    pooling: str = "mean",
    prompts: Mapping[str, str] = {},
    dense: bool = False,
    **settings: Any,
) -> Callable[[Path], Path]:
    """A maker of encoders of an architecture, with the tokens of ``words``."""

    def make(folder: Path) -> Path:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

        modules = [_transformer(folder / "base", kind, words, **settings)]
        modules.append(Pooling(WIDTH, pooling_mode=pooling))
        if dense:
            modules.append(Dense(WIDTH, 12))
        model = SentenceTransformer(
            modules=[*modules, Normalize()], device="cpu", prompts=dict(prompts) or None
        )
        model.save_pretrained(str(folder / "encoder"), create_model_card=False)
        return folder / "encoder"

    return make


def routed(folder: Path) -> Path:
    """A BERT for queries and another one for documents."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Router

    queries, documents = (
        [_transformer(folder / name, "Bert", "bert", **PLAIN), Pooling(WIDTH)]
        for name in ("queries", "documents")
    )
    with torch.no_grad():
        for weights in documents[0].parameters():
            weights.mul_(1.1)
    router = Router.for_query_document(query_modules=queries, document_modules=documents)
    model = SentenceTransformer(modules=[router, Normalize()], device="cpu")
    model.save_pretrained(str(folder / "encoder"), create_model_card=False)
    return folder / "encoder"


def _transformer(folder: Path, kind: str, words: str, **settings: Any) -> Any:
    from sentence_transformers.sentence_transformer.modules import Transformer

    tokens = tokenizer(words)
    return Transformer(
        str(network(folder, tokens, f"{kind}Model", **settings)), max_seq_length=WINDOW
    )


ENCODERS: Mapping[str, Callable[[Path], Path]] = {
    "BERT": encoder("Bert", "bert", **PLAIN),
    "BERT, first token, prompts": encoder("Bert", "bert", pooling="cls", prompts=E5, **PLAIN),
    "RoBERTa": encoder("Roberta", "roberta", **OFFSET),
    "XLM-RoBERTa, prompts": encoder("XLMRoberta", "roberta", prompts=E5, **OFFSET),
    "MPNet": encoder("MPNet", "roberta", **OFFSET),
    "ModernBERT": encoder("ModernBert", "bert", **MODERN),
    "Qwen3, last token, prompt": encoder(
        "Qwen3",
        "decoder",
        pooling="lasttoken",
        prompts={"query": "Instruct: find texts\nQuery: "},
        **qwen(WINDOW),
    ),
    "BERT, dense": encoder("Bert", "bert", dense=True, **PLAIN),
    "BERT for queries, BERT for documents": routed,
}
"""A maker of each kind, by its name."""
