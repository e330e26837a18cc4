"""``CrossEncoder``: a reranker with the interface of sentence-transformers' ``CrossEncoder``."""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rerank_search.arguments import model_name, whole_number
from rerank_search.errors import InvalidInputError, UnsupportedError
from rerank_search.models.backends.kinds import Backend, Dtype
from rerank_search.models.registry import AUTO, reranker_name
from rerank_search.reranking.base import LongDocuments, Scores
from rerank_search.reranking.calibration import CALIBRATION_FILE
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.fusion import FUSION_FILE
from rerank_search.reranking.loading import load_original
from rerank_search.reranking.predictions import require_callable
from rerank_search.reranking.renamed import renamed_arguments
from rerank_search.reranking.sbert_arguments import (
    POSITIONAL,
    RENAMED,
    check_types,
    named_dtype,
    only_value,
    split_off,
    with_organisation,
)

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder as Original

_STORED = ("prompts", "default_prompt_name", "model_card_data", "trust_remote_code")
"""Attributes that only instances of the original class have."""

_TO = frozenset({"device", "dtype", "non_blocking", "copy", "memory_format", "tensor"})
"""Keyword arguments of torch's ``Module.to``."""

_TRAINING = "use `rerank-search train`, or sentence_transformers.CrossEncoder"

LEFT_OUT = {
    **dict.fromkeys(("fit", "old_fit", "gradient_checkpointing_enable"), _TRAINING),
    **dict.fromkeys(("smart_batching_collate", "smart_batching_collate_text_only"), _TRAINING),
    "compile": "models already run on the fastest backend (see backend= and dtype=)",
    "set_keep_in_fp32_modules": "logits are always computed in float32",
}
"""Methods that only the original class has, and what to do instead."""


class CrossEncoder(CrossEncoderReranker):
    """A CrossEncoderReranker with the arguments, methods and attributes of sentence-transformers.

    Code written for ``sentence_transformers.CrossEncoder`` runs after changing the import:

        >>> model = CrossEncoder("rerank-search-base", max_length=256)
        >>> scores = model.predict([("how to join paths", "os.path.join joins path components")])
        >>> scores.shape
        (1,)

    Arguments have the names that they have there, today's and earlier ones. ``batch_tokens``,
    ``dtype``, ``cache_size`` and ``backend`` are those of CrossEncoderReranker; without ``backend``
    the fastest one is used.

    ``model``, ``tokenizer``, ``config`` and all other attributes of sentence-transformers' class
    belong to the same model, loaded by sentence-transformers on first use. Changed weights take
    effect: ``predict`` and ``rank`` are then computed by sentence-transformers.

    Not supported, each with an error that says so: code from the hub (``trust_remote_code=True``),
    ``modules``, ``device_map``, training. Errors as in CrossEncoderReranker.
    """

    @renamed_arguments(RENAMED, positional=POSITIONAL)
    def __init__(
        self,
        model_name_or_path: str | Path = AUTO,
        *,
        modules: None = None,
        device: str | torch.device | None = None,
        prompts: dict[str, str] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: Any = None,
        backend: Backend | Literal["auto"] | None = None,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Callable[[torch.Tensor], torch.Tensor] | None = None,
        keep_in_fp32_modules: list[str] | None = None,
        classifier_dropout: float | None = None,
        batch_tokens: int | None = None,
        dtype: Dtype | Literal["auto"] | None = None,
        cache_size: int = 0,
    ) -> None:
        if modules is not None:
            raise UnsupportedError("modules= is not supported: save the model, and give its folder")
        if keep_in_fp32_modules:
            raise UnsupportedError(
                f"keep_in_fp32_modules={keep_in_fp32_modules!r} is not supported: logits are "
                "always computed in float32, and so is everything else with dtype='float32'"
            )
        name = reranker_name(model_name("model_name_or_path", model_name_or_path))
        if activation_fn is not None:
            require_callable("activation_fn", activation_fn)
        if num_labels is not None:
            num_labels = whole_number("num_labels", num_labels)
        fetching: dict[str, Any] = {
            "cache_dir": cache_folder,
            "token": token,
            "revision": revision,
            "local_files_only": local_files_only,
            "trust_remote_code": trust_remote_code,
        }
        model_kwargs = split_off(model_kwargs, "model_kwargs", fetching)
        config_kwargs = split_off(config_kwargs, "config_kwargs", fetching)
        processor_kwargs = split_off(processor_kwargs, "processor_kwargs", fetching)
        given = {"cache_folder" if key == "cache_dir" else key: v for key, v in fetching.items()}
        check_types({**given, "prompts": prompts, "default_prompt_name": default_prompt_name})
        if fetching.pop("trust_remote_code"):
            raise UnsupportedError(
                "trust_remote_code=True is not supported: code that comes with a model is never "
                "run. Use sentence_transformers.CrossEncoder for this model"
            )
        if classifier_dropout is not None:
            config_kwargs["classifier_dropout"] = classifier_dropout
        # As in the original, these are used if the arguments themselves are not given.
        labels = config_kwargs.pop("num_labels", None)
        num_labels = labels if num_labels is None else num_labels
        window = processor_kwargs.pop("model_max_length", None)
        max_length = window if max_length is None else max_length
        stored = only_value(
            ("model_kwargs['torch_dtype']", model_kwargs.pop("torch_dtype", None)),
            ("model_kwargs['dtype']", model_kwargs.pop("dtype", None)),
        )
        loading = {
            "prompts": prompts,
            "default_prompt_name": default_prompt_name,
            "model_kwargs": model_kwargs,
            "processor_kwargs": processor_kwargs,
            "config_kwargs": config_kwargs,
            "model_card_data": model_card_data,
            "activation_fn": activation_fn,
        }
        super().__init__(
            with_organisation(name),
            device=None if device is None else str(device),
            max_length=max_length,
            revision=fetching.pop("revision"),
            batch_tokens=batch_tokens,
            backend=backend,
            dtype=only_value(("dtype", dtype), ("the dtype of model_kwargs", named_dtype(stored))),
            cache_size=cache_size,
            fetching=fetching,
            loading={name: value for name, value in loading.items() if value},
        )
        if num_labels not in (None, self.num_labels):
            raise InvalidInputError(
                f"num_labels={num_labels!r}, but {self.name!r} has {self.num_labels}: leave it "
                "out, or train a model with that number of labels"
            )

    @functools.cached_property
    def _original(self) -> Original:
        """The model as sentence-transformers loads it, apart from the one that computes scores."""
        original = load_original(
            self.name, str(self._directory), str(self.device), self._settings["loading"]
        )
        original.max_seq_length = self.max_length
        self._as_loaded = _state(original)
        return original

    def _changed(self) -> bool:
        """Whether the weights or the tokenizer of the original were changed."""
        return "_original" in self.__dict__ and _state(self._original) != self._as_loaded

    def _must_delegate(self) -> bool:
        return self._changed()

    def _delegated(self, inputs: Any, **options: Any) -> Any:
        # The network that computes scores may have handed its weights over to another runtime.
        elsewhere = options.get("pool") or options.get("device")
        if elsewhere or self._changed():
            return self._original.predict(inputs, **options)
        return super()._delegated(inputs, **options)

    def score_with_report(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        long_documents: LongDocuments = "truncate",
        instruction: str | None = None,
    ) -> Scores:
        """As in CrossEncoderReranker. Raises InvalidInputError after a change of weights."""
        if self._changed():
            raise InvalidInputError(
                f"the weights or the tokenizer of {self.name!r} were changed, and score() and "
                "searches would ignore that: save the model with save_pretrained(), and load it "
                "again"
            )
        return super().score_with_report(
            pairs, long_documents=long_documents, instruction=instruction
        )

    @property
    def model(self) -> Any:
        """The transformers network."""
        return self._original.model

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self._original.tokenizer

    @property
    def config(self) -> Any:
        """The network's configuration."""
        return self._original.config

    @property
    def activation_fn(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The activation that ``predict`` and ``rank`` apply to logits by default."""
        return self._activation_fn

    @activation_fn.setter
    def activation_fn(self, value: Callable[[torch.Tensor], torch.Tensor]) -> None:
        require_callable("activation_fn", value)
        self._settings["loading"]["activation_fn"] = value
        if "_original" in self.__dict__:
            self._original.activation_fn = value

    default_activation_function = activation_fn

    @property
    def max_length(self) -> int:
        """The window: tokens of a pair, special tokens included. A new value lowers it."""
        return super().max_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        self._load_again(max_length=value)

    max_seq_length = max_length

    def to(self, *args: Any, **kwargs: Any) -> CrossEncoder:
        """Move the model to a device or change its precision, and return the model itself.

        It is loaded again from its files. Raises InvalidInputError for a value that torch refuses.
        """
        import torch

        if unknown := sorted(kwargs.keys() - _TO):
            raise TypeError(f"{type(self).__name__}.to(): unknown argument {unknown[0]!r}")
        changes: dict[str, Any] = {}
        for given in (*args, *kwargs.values()):
            if isinstance(given, torch.dtype):
                changes["dtype"] = named_dtype(given)
            elif isinstance(given, (str, int, torch.device)) and not isinstance(given, bool):
                changes["device"] = f"cuda:{given}" if isinstance(given, int) else str(given)
            elif given is not None and not isinstance(given, bool):
                raise InvalidInputError(f"to({given!r}): give a device or a dtype of torch")
        if self._changed():
            self._original.to(*args, **kwargs)
        else:
            self._load_again(**changes)
        return self

    def cpu(self) -> CrossEncoder:
        """Move the model to the CPU, as ``to("cpu")`` does."""
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> CrossEncoder:
        """Move the model to CUDA, or to the GPU with this number."""
        return self.to("cuda" if device is None else f"cuda:{device}")

    def half(self) -> CrossEncoder:
        """Compute in float16."""
        return self._load_again(dtype="float16")

    def bfloat16(self) -> CrossEncoder:
        """Compute in bfloat16."""
        return self._load_again(dtype="bfloat16")

    def float(self) -> CrossEncoder:
        """Compute in float32."""
        return self._load_again(dtype="float32")

    def eval(self) -> CrossEncoder:
        """The model itself, which always predicts without dropout."""
        return self.train(False)

    def train(self, mode: bool = True) -> CrossEncoder:
        """The model itself for ``mode=False``; UnsupportedError otherwise."""
        if mode:
            raise UnsupportedError(f"train() is not supported: {_TRAINING}")
        return self

    def save_pretrained(self, path: str | Path, *args: Any, **kwargs: Any) -> None:
        """Save the model as sentence-transformers does, with its fusion and calibration.

        Further arguments are those of sentence-transformers' method.
        """
        self._original.save_pretrained(str(path), *args, **kwargs)
        for name in (FUSION_FILE, CALIBRATION_FILE):
            if (self._directory / name).is_file():
                shutil.copy(self._directory / name, Path(path) / name)

    save = save_pretrained

    def evaluate(self, evaluator: Any, output_path: str | None = None) -> Any:
        """The result of an evaluator of sentence-transformers for the model."""
        if output_path is not None:
            Path(output_path).mkdir(parents=True, exist_ok=True)
        return evaluator(self, output_path)

    def __getattr__(self, name: str) -> Any:
        """All other attributes of sentence-transformers' class."""
        if name in LEFT_OUT:
            raise UnsupportedError(f"{name}() is not supported: {LEFT_OUT[name]}")
        if not name.startswith("_"):
            from sentence_transformers import CrossEncoder as Original

            if name in _STORED or hasattr(Original, name):
                return getattr(self._original, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        """As in CrossEncoderReranker. Raises InvalidInputError after a change of weights."""
        self._require_unchanged()
        return super().__reduce__()

    def _require_unchanged(self) -> None:
        if self._changed():
            raise InvalidInputError(
                f"the weights or the tokenizer of {self.name!r} were changed, and a pickle would "
                "lose that: save the model with save_pretrained(), and load it again"
            )

    def _load_again(self, **changes: Any) -> CrossEncoder:
        """Load everything again if any of the settings differ."""
        self._require_unchanged()
        if "device" in changes and changes["device"] == str(self.device):
            del changes["device"]
        if any(self._settings[name] != value for name, value in changes.items()):
            again = CrossEncoder.__new__(CrossEncoder)
            CrossEncoderReranker.__init__(again, **{**self._settings, **changes})
            self.__dict__ = again.__dict__
        return self


def _state(original: Original) -> list[Any]:
    """All that scores depend on. Weights are compared by address and version, not by value."""
    weights = itertools.chain(original.parameters(), original.buffers())
    tokenizer = original.tokenizer
    sides = [getattr(tokenizer, name) for name in ("truncation_side", "padding_side")]
    return [
        *((each.data_ptr(), each._version, each.dtype, str(each.device)) for each in weights),
        *(tokenizer.model_max_length, len(tokenizer), id(tokenizer), *sides),
    ]
