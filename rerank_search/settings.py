"""Settings of the process: RERANK_SEARCH_* environment variables, declared in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from rerank_search.errors import InvalidInputError
from rerank_search.shown import reason, shown

PREFIX = "RERANK_SEARCH_"

LONGEST_WAIT = 86_400
"""Most seconds that a writer can be set to wait for another one: a day."""


class Settings(BaseSettings):
    """Settings that may differ between machines; everything else is an argument.

    Each ``Settings()`` reads them again, so that two users in one process share nothing by
    accident. An empty variable counts as not set. Raises InvalidInputError for a variable with an
    invalid value.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)

    home: Path | None = None
    """A second folder, beside ``./indexes``, in which the command line looks for indexes."""

    offline: bool = False
    """True: never touch the network, and say what is missing."""

    api_key: SecretStr | None = None
    """Key for a server that a plugin, or `rerank-search mcp`, is given by its URL without a key."""

    encoder: str | None = None
    """Encoder of new indexes that name none: a name, a folder or a hub id."""

    reranker: str | None = None
    """Reranker where none is named: a name, a folder, a hub id or a URL, or several with commas."""

    device: str | None = None
    """Torch device of the models: cpu, cuda, cuda:1, mps. None picks the best one available."""

    backend: Literal["auto", "torch", "openvino", "onnx"] = "auto"
    """Backend that computes a cross-encoder's logits; "auto" is the fastest on this machine."""

    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"
    """Precision that the logits are computed in; "auto" is the fastest on this machine."""

    encoder_backend: Literal["auto", "torch", "openvino", "onnx"] = "auto"
    """Backend that computes an encoder's vectors; "auto" is torch, and OpenVINO for int8."""

    encoder_dtype: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    """Precision that an encoder's vectors are computed in; "auto" is float32."""

    threads: int | None = Field(default=None, ge=1)
    """Number of threads with which a process computes models.

    None is torch's own number, but no more than the cores that the process may run on. Give several
    processes that search at the same time a share of the cores each."""

    lock_timeout: float = Field(default=10.0, ge=0, le=LONGEST_WAIT)
    """Seconds that a write to an index waits for another process that is writing to it."""

    debug: bool = False
    """True: the command line shows the traceback of an error, not only its message."""

    cache: Path = Path.home() / ".cache" / "rerank-search"
    """Folder for results that can be computed again: indexes, scores, vectors, measurements."""

    token_vectors_mb: int = Field(default=2000, ge=0)
    """Million bytes of token vectors of texts that are kept there, for models such as ColBERT."""

    def __init__(self) -> None:
        try:
            super().__init__()
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            variable = f"{PREFIX}{problem['loc'][0]}".upper()
            raise InvalidInputError(
                f"the environment variable {variable}={shown(problem['input'])} is invalid: "
                f"{reason(problem)}"
            ) from None
