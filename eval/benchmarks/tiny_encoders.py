"""Tiny random encoders of every kind that sentence-transformers loads, as files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def splade(
    kind: str, *, prompts: Mapping[str, str] = {}, similarity: str = "dot", **settings: Any
) -> Callable[[Path], Path]:
    """A maker of encoders of sparse vectors: a masked language model and its largest logits."""

    def make(folder: Path) -> Path:
        from sentence_transformers import SparseEncoder

        model = SparseEncoder(
            modules=_masked(folder / "base", kind, **settings),
            device="cpu",
            prompts=dict(prompts) or None,
            similarity_fn_name=similarity,
        )
        model.save_pretrained(str(folder / "sparse"), create_model_card=False)
        return folder / "sparse"

    return make


def inference_free(folder: Path) -> Path:
    """A sparse encoder that weighs the tokens of a query by a table, without a network."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    network, pooling = _masked(folder / "base", "Bert", **PLAIN)
    torch.manual_seed(5)
    table = SparseStaticEmbedding(network.tokenizer, torch.rand(len(network.tokenizer)))
    router = Router.for_query_document(query_modules=[table], document_modules=[network, pooling])
    model = SparseEncoder(modules=[router], device="cpu")
    model.save_pretrained(str(folder / "sparse"), create_model_card=False)
    return folder / "sparse"


def late(
    kind: str,
    words: str,
    *,
    prompts: Mapping[str, str] = {},
    expansion: Mapping[str, Any] | None = None,
    skipped: Sequence[str] = (),
    similarity: str = "maxsim",
    **settings: Any,
) -> Callable[[Path], Path]:
    """A maker of encoders with a vector for each token, as ColBERT is one."""

    def make(folder: Path) -> Path:
        import torch
        from sentence_transformers import MultiVectorEncoder
        from sentence_transformers.base.modules import Dense, Normalize
        from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

        network = _transformer(
            folder / "base",
            kind,
            words,
            query_expansion=None if expansion is None else dict(expansion),
            **settings,
        )
        torch.manual_seed(5)
        dense = Dense(
            WIDTH,
            12,
            bias=False,
            activation_function=torch.nn.Identity(),
            module_input_name="token_embeddings",
        )
        model = MultiVectorEncoder(
            modules=[network, dense, MultiVectorMask(list(skipped)), Normalize("token_embeddings")],
            device="cpu",
            prompts=dict(prompts) or None,
            similarity_fn_name=similarity,
        )
        model.save_pretrained(str(folder / "late"), create_model_card=False)
        return folder / "late"

    return make


def _transformer(
    folder: Path,
    kind: str,
    words: str,
    *,
    query_expansion: dict[str, Any] | None = None,
    **settings: Any,
) -> Any:
    from sentence_transformers.base.modules import Transformer

    return Transformer(
        str(network(folder, tokenizer(words), f"{kind}Model", **settings)),
        max_seq_length=WINDOW,
        query_expansion=query_expansion,
    )


def _masked(folder: Path, kind: str, **settings: Any) -> list[Any]:
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    saved = network(folder, tokenizer("bert"), f"{kind}ForMaskedLM", deviation=0.03, **settings)
    return [
        Transformer(str(saved), transformer_task="fill-mask", max_seq_length=WINDOW),
        SpladePooling("max"),
    ]


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
"""A maker of each kind of encoder with one vector for a text, by its name."""

SPARSE_ENCODERS: Mapping[str, Callable[[Path], Path]] = {
    "BERT, SPLADE": splade("Bert", **PLAIN),
    "BERT, SPLADE, prompts": splade("Bert", prompts=E5, **PLAIN),
    "BERT, SPLADE, cosine": splade("Bert", similarity="cosine", **PLAIN),
    "ModernBERT, SPLADE": splade("ModernBert", **MODERN),
    "a table for queries, BERT for documents": inference_free,
}
"""A maker of each kind of encoder of sparse vectors, by its name."""

LATE_ENCODERS: Mapping[str, Callable[[Path], Path]] = {
    "BERT, MaxSim": late("Bert", "bert", **PLAIN),
    "BERT, MaxSim, prompts, queries of 24 tokens, skipped marks": late(
        "Bert",
        "bert",
        prompts={"query": "[Q] ", "document": "[D] "},
        expansion={"strategy": "fixed", "attend": False, "length": 24},
        skipped=[".", ",", "!"],
        **PLAIN,
    ),
    "BERT, MeanMaxSim": late("Bert", "bert", similarity="meanmaxsim", **PLAIN),
    "ModernBERT, MaxSim, prompts": late("ModernBert", "bert", prompts=E5, **MODERN),
    "XLM-RoBERTa, MaxSim": late("XLMRoberta", "roberta", **OFFSET),
}
"""A maker of each kind of encoder with a vector for each token, by its name."""
