"""The route of OpenAI's embeddings API."""

from __future__ import annotations

import base64
import functools

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray

from rerank_search.models.prompts import Task
from rerank_search.retrieval.base import TextEncoder
from rerank_search.serving.dependencies import ServiceGiven, ThreadsGiven
from rerank_search.serving.errors import ApiError
from rerank_search.serving.route_table import Facts, declared
from rerank_search.serving.schemas.embeddings import (
    Embedding,
    EmbeddingsAnswer,
    EmbeddingsRequest,
)
from rerank_search.serving.service import Service
from rerank_search.serving.strict_json import StrictJsonRoute

router = APIRouter(tags=["embeddings"], route_class=StrictJsonRoute)


@router.post("/v1/embeddings", response_model_exclude_none=True)
@declared(Facts(reads=True, shape="rerank"))
async def embeddings(
    request: Request, asked: EmbeddingsRequest, service: ServiceGiven, threads: ThreadsGiven
) -> EmbeddingsAnswer:
    """The vectors of texts, as OpenAI's clients ask for them."""
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    service.limits.check_texts("input", texts, service.limits.documents)
    return await threads.read(request, functools.partial(_answer, service, asked, texts))


def _answer(service: Service, asked: EmbeddingsRequest, texts: list[str]) -> EmbeddingsAnswer:
    with service.encoders.use(asked.model) as (name, encoder):
        task: Task | None = None
        if asked.input_type is not None:
            task = "query" if asked.input_type == "query" else "document"
        prompt = None if task is None else encoder.prompts.of(task)
        vectors = encoder.encode(texts, task=task, prompt=prompt)
        if asked.dimensions is not None:
            vectors = _shortened(vectors, asked.dimensions)
        return EmbeddingsAnswer(
            model=name,
            data=[
                Embedding(index=place, embedding=_written(vector, asked.encoding_format))
                for place, vector in enumerate(vectors)
            ],
            usage=None if encoder.may_change else _usage(encoder, texts, prompt or ""),
        )


def _shortened(vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    if dimensions > vectors.shape[1]:
        raise ApiError(
            400,
            "invalid_request",
            f"dimensions={dimensions} is more than the {vectors.shape[1]} of this encoder: lower "
            "it, or leave it out",
        )
    found = vectors[:, :dimensions]
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    shortened: NDArray[np.float32] = found / np.maximum(norms, np.finfo(np.float32).tiny)
    return shortened


def _written(vector: NDArray[np.float32], encoding: str) -> list[float] | str:
    if encoding == "float":
        numbers: list[float] = vector.tolist()
        return numbers
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _usage(encoder: TextEncoder, texts: list[str], prompt: str) -> dict[str, int]:
    counts = [len(encoder.token_offsets(prompt + text)) for text in texts]
    window = encoder.window
    tokens = sum(counts if window is None else (min(count, window) for count in counts))
    return {"prompt_tokens": tokens, "total_tokens": tokens}
