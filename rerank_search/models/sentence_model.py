"""A model of sentence-transformers that encodes texts, loaded on first use."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rerank_search.errors import InvalidInputError
from rerank_search.models.prompts import Prompts, checked_prompt, chosen, tells_tasks_apart
from rerank_search.settings import Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Model = TypeVar("Model")


class SentenceModel(ABC, Generic[Model]):
    """The name, the prompts, the window and the tokenizer of such a model.

    Arguments as for ``Encoder``. Threads may share one; they take turns, because its tokenizer is
    not thread-safe.
    """

    _kind = "encoder"
    """The word for such a model in errors."""

    def __init__(
        self,
        name: str,
        *,
        revision: str | None,
        device: str | None,
        query_prompt: str | None,
        document_prompt: str | None,
    ) -> None:
        self.name = name
        self.revision = revision
        self.query_prompt = checked_prompt("query_prompt", query_prompt)
        self.document_prompt = checked_prompt("document_prompt", document_prompt)
        self._device = device
        self._lock = RLock()
        self._loaded: Model | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name and the settings: the copy loads the model on first use."""
        made = functools.partial(
            type(self), **self._arguments, revision=self.revision, device=self._device
        )
        return made, (self.name,)

    @property
    def prompts(self) -> Prompts:
        """The prompts put before queries and before documents."""
        own = chosen(self._saved_prompts)
        return Prompts(
            query=own.query if self.query_prompt is None else self.query_prompt,
            document=own.document if self.document_prompt is None else self.document_prompt,
        )

    @property
    def window(self) -> int | None:
        """Tokens that the model reads of a document, special tokens included; None means all."""
        module = self._document_module
        window: float | None = getattr(module, "max_seq_length", None)
        if window is None:
            raise InvalidInputError(
                f"the {self._kind} {self.name!r} does not state its window: set max_seq_length in "
                "its sentence_bert_config.json"
            )
        truncation = getattr(getattr(module, "tokenizer", None), "truncation", None)
        if isinstance(truncation, dict):  # a static model is cut by its tokenizer
            window = min(window, truncation["max_length"])
        return None if math.isinf(window) else int(window)

    def check_found(self) -> None:
        """Raise ModelNotFoundError for a missing model. Does not load it."""
        self._directory()

    def identity(self) -> list[str]:
        """A hash of the model's files, and what changes its vectors. Does not load the model."""
        from rerank_search.models.registry import fingerprint

        directory = Path(self._directory())
        # An earlier version made vectors without prompts.
        found = [fingerprint(directory), *(["prompts"] * tells_tasks_apart(directory))]
        given = {name: value for name, value in self._arguments.items() if value is not None}
        return [*found, *(f"{name}={value!r}" for name, value in given.items())]

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end in characters of each token of the whole text, without special tokens."""
        with self._lock:
            if (uncut := self._static_tokenizer) is not None:
                offsets: list[tuple[int, int]] = uncut.encode(
                    text, add_special_tokens=False
                ).offsets
                return offsets
            tokenizer: Any = getattr(self._document_module, "tokenizer", None)
            if not getattr(tokenizer, "is_fast", False):
                raise InvalidInputError(
                    f"the tokenizer of the {self._kind} {self.name!r} does not give the positions "
                    "of tokens: create the index with passages=None, or choose an encoder with a "
                    "tokenizer.json"
                )
            encoded = tokenizer(
                text,
                add_special_tokens=False,
                return_attention_mask=False,
                return_offsets_mapping=True,
                truncation=False,
                verbose=False,
            )
        return [(start, end) for start, end in encoded["offset_mapping"]]

    @functools.cached_property
    def _static_tokenizer(self) -> Tokenizer | None:
        """A copy of a static model's tokenizer that cuts no text; None for other models."""
        from tokenizers import Tokenizer

        own = getattr(self._document_module, "tokenizer", None)
        if not isinstance(own, Tokenizer):
            return None
        uncut = Tokenizer.from_str(own.to_str())
        uncut.no_truncation()
        return uncut

    @property
    def _arguments(self) -> dict[str, Any]:
        """The arguments that change vectors."""
        return {"query_prompt": self.query_prompt, "document_prompt": self.document_prompt}

    @property
    def _saved_prompts(self) -> dict[str, str | None]:
        """The model's own prompts by name."""
        model: Any = self._model
        return dict(model.prompts)

    @property
    def _modules(self) -> list[Any]:
        """The modules of the model; a plain BERT is its own only module."""
        model: Any = self._model
        return list(model) if hasattr(model, "__iter__") else [model]

    @property
    def _document_module(self) -> Any:
        """The module that tokenises documents: the first, or the first of those for documents."""
        first = self._modules[0]
        routes = getattr(first, "sub_modules", {})
        return routes["document"][0] if "document" in routes else first

    @property
    def _model(self) -> Model:
        with self._lock:
            if self._loaded is None:
                from rerank_search.models.loading import require_device
                from rerank_search.models.threads import limit_threads

                limit_threads()
                where = self._directory()
                device = self._device or Settings().device
                require_device(device)
                self._loaded = self._load(where, device)
            return self._loaded

    @abstractmethod
    def _load(self, where: str, device: str | None) -> Model:
        """Load the model from its directory."""

    @abstractmethod
    def _directory(self) -> str:
        """Find the directory of the model. Raises ModelNotFoundError."""
