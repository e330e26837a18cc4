"""The bi-encoder, which turns texts into vectors of length 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import model_name, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.models.backends.kinds import Backend
from rerank_search.models.beginnings import completed, first_characters
from rerank_search.models.kinds import check_not
from rerank_search.models.length_batches import batches_by_length
from rerank_search.models.prompts import Prompts, Task, without_use
from rerank_search.models.registry import encoder_name
from rerank_search.models.sentence_model import SentenceModel
from rerank_search.queries import text_list
from rerank_search.retrieval.vector_backend import VectorDtype, require_units, vector_backend

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rerank_search.retrieval.bert_encoder import BertEncoder

CPU_BATCH_TOKENS, BATCH_TOKENS = 4_096, 32_768
"""Tokens of a batch, padding included, on a CPU and elsewhere.

Larger batches are slower on a CPU: activations outgrow its caches, and the allocator returns their
memory to the system each time."""

SHORTEST_VECTOR = 1e-12
"""Least length that a truncated vector is divided by, as in torch's ``normalize``."""


class Encoder(SentenceModel["SentenceTransformer | BertEncoder"]):
    """A sentence-transformers model, loaded on first use; a plain BERT needs no such library.

    ``name`` is a path, an alias or a hub id (see ``rerank_search.models.registry``), and
    ``revision`` pins a version of it. ``device`` is a torch device; the default is that of the
    settings, else the best one available. ``query_prompt`` and ``document_prompt`` replace the
    model's own prompts; "" means none. ``truncate_dim`` keeps the first numbers of each vector,
    which a Matryoshka model is trained for. ``backend`` and ``dtype`` say what computes a plain
    BERT on a CPU; the defaults are those of the settings, and "auto" is torch in float32. In
    bfloat16 and int8 vectors differ a little from those in float32. Threads may share one encoder;
    they take turns, because its tokenizer is not thread-safe.

    Raises InvalidInputError for a backend that does not compute in that precision. On first use,
    raises ModelNotFoundError for a missing model and InvalidInputError for an invalid device, for a
    ``truncate_dim`` above the model's dimension, for a backend or a precision that cannot compute
    this model here, and for a model that int8 changes too much.
    """

    may_change = False

    def __init__(
        self,
        name: str | PathLike[str],
        *,
        revision: str | None = None,
        device: str | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        truncate_dim: int | None = None,
        backend: Backend | Literal["auto"] | None = None,
        dtype: VectorDtype | Literal["auto"] | None = None,
    ) -> None:
        super().__init__(
            encoder_name(model_name("encoder", name)),
            revision=revision,
            device=device,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
        )
        self.truncate_dim = (
            None if truncate_dim is None else whole_number("truncate_dim", truncate_dim)
        )
        self.backend, self.dtype = vector_backend(backend, dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name and the settings: the copy loads the model on first use."""
        made, arguments = super().__reduce__()
        return partial(made, backend=self.backend, dtype=self.dtype), arguments

    @property
    def _arguments(self) -> dict[str, Any]:
        """The arguments that change vectors."""
        rounded = None if self.dtype == "float32" else self.dtype
        return super()._arguments | {"truncate_dim": self.truncate_dim, "dtype": rounded}

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self.truncate_dim or self._whole_dimension(self._model)

    @property
    def pooling(self) -> str | None:
        """How the vectors of tokens become one vector, such as "mean"; None if that is unknown."""
        modes = [mode for each in self._modules if (mode := getattr(each, "pooling_mode", None))]
        return None if not modes else modes[0] if isinstance(modes[0], str) else "+".join(modes[0])

    @property
    def unused_prompts(self) -> list[str]:
        """Names of the model's prompts if none is for queries or documents, and none was given."""
        given = self.query_prompt is not None or self.document_prompt is not None
        return [] if given else without_use(self._saved_prompts)

    @property
    def tells_tasks_apart(self) -> bool:
        """Whether the vector of a text depends on its task."""
        prompts, default = self._model.prompts, self._model.default_prompt_name
        routed = any(hasattr(module, "sub_modules") for module in self._modules)
        return routed or bool(default and prompts.get(default)) or self.prompts != Prompts()

    def encode(
        self, texts: Sequence[str], *, task: Task | None = None, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """Vectors of the texts, shape (n, dimension), float32, length 1.

        ``task`` says what the texts are, for models with separate modules for queries and
        documents; ``prompt`` is put before each text (see ``prompts``). Without both, texts get the
        model's default prompt, if it has one, as in sentence-transformers' ``encode``.
        Texts are cut to the window, prompts included.
        Raises InvalidInputError for anything but a list of texts, and if the model returns numbers
        that are not finite.
        """
        if not (texts := text_list(texts)):
            return np.empty((0, self.dimension), dtype=np.float32)
        found = self._shortened(self._encoded(texts, task, prompt))
        finite = np.isfinite(found).all(axis=1)
        if not finite.all():
            raise InvalidInputError(
                f"the encoder {self.name!r} returned NaN or infinity for the text "
                f"{texts[int(np.argmin(finite))][:80]!r}: choose another encoder"
            )
        return found

    def _encoded(
        self, texts: Sequence[str], task: Task | None, prompt: str | None
    ) -> NDArray[np.float32]:
        from rerank_search.retrieval.bert_encoder import BertEncoder

        model = self._model
        if isinstance(model, BertEncoder):

            def tokenized(some: Sequence[str]) -> list[list[int]]:
                with self._lock:
                    return model.tokenized(
                        [f"{prompt or ''}{self._beginning(text)}" for text in some]
                    )

            return model.vectors(texts, tokenized)
        found = np.empty((len(texts), self._whole_dimension(model)), dtype=np.float32)
        budget = CPU_BATCH_TOKENS if model.device.type == "cpu" else BATCH_TOKENS
        lengths = [len(text) + len(prompt or "") for text in texts]
        for batch in batches_by_length(lengths, budget, window=self.window):
            with self._lock:  # for one batch, so that a query does not wait for a whole corpus
                found[batch] = model.encode(
                    [self._beginning(texts[i]) for i in batch],
                    prompt=prompt,
                    batch_size=len(batch),
                    normalize_embeddings=True,
                    show_progress_bar=False,
                    task=task,
                )
        return found

    def _shortened(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.truncate_dim is None or self.truncate_dim == vectors.shape[1]:
            return vectors
        first = vectors[:, : self.truncate_dim]
        lengths = np.linalg.norm(first, axis=1, keepdims=True)
        shortened: NDArray[np.float32] = first / np.maximum(lengths, SHORTEST_VECTOR)
        return shortened

    def _whole_dimension(self, model: SentenceTransformer | BertEncoder) -> int:
        """The length of a vector that is not truncated."""
        dimension = model.get_embedding_dimension()
        if dimension is None:
            raise InvalidInputError(
                f"the encoder {self.name!r} does not state its dimension: choose another encoder"
            )
        return dimension

    def _beginning(self, text: str) -> str:
        """The beginning of a text, long enough to fill the window as the whole text would."""
        window, first = self.window, self._modules[0]
        tokenizer = getattr(first, "tokenizer", None)
        read: Callable[[str], list[str]] | None = getattr(tokenizer, "tokenize", None)
        # A model that routes texts may have another window for queries.
        if window is None or read is None or hasattr(first, "sub_modules"):
            return text
        head = first_characters(text, window)
        if len(head) == len(text) or getattr(tokenizer, "truncation_side", "right") != "right":
            return text
        return completed(text, head, read(head), window, read)[0]

    def _checked(
        self, model: SentenceTransformer | BertEncoder
    ) -> SentenceTransformer | BertEncoder:
        if self.truncate_dim is not None:
            most = self._whole_dimension(model)
            if self.truncate_dim > most:
                raise InvalidInputError(
                    f"truncate_dim={self.truncate_dim} is more than the {most} dimensions of the "
                    f"encoder {self.name!r}: use at most {most}"
                )
        return model

    def _load(self, where: str, device: str | None) -> SentenceTransformer | BertEncoder:
        from rerank_search.models.bert_folder import read_encoder

        check_not("encoder", self.name, Path(where), ("sparse", "multi-vector"))
        if plain := read_encoder(where, device):
            from rerank_search.retrieval.bert_encoder import BertEncoder

            computed = BertEncoder(plain, self.name, where, self.backend, self.dtype)
            return self._checked(computed)
        return self._checked(self._load_whole(where, device))

    def _directory(self) -> str:
        from rerank_search.models.registry import resolve_encoder

        return resolve_encoder(self.name, revision=self.revision)

    def _load_whole(self, where: str, device: str | None) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer

        from rerank_search.models.fused_bert import can_fuse, fuse
        from rerank_search.models.loading import load_saved

        model = load_saved(SentenceTransformer, f"the encoder {self.name!r}", where, device)
        network = getattr(model, "transformers_model", None)
        fits = self.backend == "torch" and network is not None and can_fuse(network, self.dtype)
        if fits:
            require_units(self.dtype)
            fuse(network, self.dtype)
        elif (self.backend, self.dtype) != ("torch", "float32"):
            raise InvalidInputError(
                f"the encoder {self.name!r} cannot be computed here with backend="
                f"{self.backend!r} and dtype={self.dtype!r}: use backend='torch' and "
                "dtype='float32', or a plain BERT without prompts on a CPU"
            )
        return model
