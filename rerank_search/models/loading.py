"""Loading of transformers models: devices, windows, and no progress bars in pipes."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rerank_search.errors import InvalidInputError, ModelNotFoundError

Saved = TypeVar("Saved", bound=Any)


@contextmanager
def quietly() -> Iterator[None]:
    """Switch transformers' progress bars off for the duration of a block."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_saved(kind: type[Saved], what: str, where: str, device: str | None) -> Saved:
    """A model of a class of sentence-transformers, from the folder that its name stands for.

    ``what`` names it in the error, such as "the encoder 'x'". Raises ModelNotFoundError.
    """
    try:
        with quietly():
            # The name has been resolved to a folder, so nothing has to be fetched.
            model: Saved = kind(
                where, device=device, local_files_only=True, trust_remote_code=False
            )
            return model
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"{what} cannot be loaded from {where} ({error}): check the name, or give the path of "
            f"a {kind.__name__} of sentence-transformers"
        ) from error


def require_device(device: str | None) -> None:
    """Raise InvalidInputError unless torch can use the device here; None is the best one."""
    import torch

    if device is None:
        return
    try:
        torch.zeros(1, device=device).cpu()  # tensors on "meta" can be made but have no values
    # Torch raises another error for each kind of device that it was not built for.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidInputError(
            f"the device {device!r} cannot be used ({reason:.200}): use cpu, cuda, cuda:1 or mps, "
            "or leave it out (and unset RERANK_SEARCH_DEVICE)"
        ) from error


def best_device() -> str:
    """The device that sentence-transformers takes by default, such as "cuda:0"."""
    if without_accelerator():
        return "cpu"
    from sentence_transformers.util import get_device_name

    name: str = get_device_name()
    return name


def without_accelerator() -> bool:
    """Whether the CPU is the only device."""
    import torch

    others = ("torch_npu", "habana_frameworks")
    return not torch.accelerator.is_available() and not any(map(importlib.util.find_spec, others))


def require_tokenizer(tokenizer: Any, name: str, directory: str) -> None:
    """Raise ModelNotFoundError if transformers made up a tokenizer of special tokens alone."""
    if set(tokenizer.get_vocab().values()) <= set(tokenizer.all_special_ids):
        raise ModelNotFoundError(
            f"the model {name!r} in {directory} has no tokenizer: put its tokenizer.json and "
            "tokenizer_config.json there"
        )


def positions(network: Any) -> int | None:
    """The number of tokens that a transformers model has positions for; None if any number.

    RoBERTa's positions begin after that of the padding.
    """
    found = getattr(network.config, "max_position_embeddings", None)
    if found is None or found <= 0:
        return None
    table = getattr(getattr(network.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return int(found) if padding is None else int(found) - padding - 1
