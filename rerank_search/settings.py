"""Settings of the process: RERANK_SEARCH_* environment variables, declared in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown

PREFIX = "RERANK_SEARCH_"

LONGEST_WAIT = 86_400
"""Seconds that a writer may be told to wait for another one: a day."""


class Settings(BaseSettings):
    """What may differ between machines; everything else is an argument.

    Read anew at each ``Settings()``, so that two users in one process share nothing by accident. An
    empty variable is as one that is not set.
    Raises InvalidInputError for a variable whose value cannot be used.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)

    home: Path | None = None
    """A second folder, beside ``./indexes``, in which the command line looks for indexes."""

    offline: bool = False
    """True: never touch the network, and say what is missing."""

    device: str | None = None
    """Torch device of the models: cpu, cuda, cuda:1, mps. None picks the best that is there."""

    backend: Literal["auto", "torch", "openvino", "onnx"] = "auto"
    """What computes a cross-encoder's logits; "auto" is what is fastest on this machine."""

    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"
    """The precision that they are computed in; "auto" likewise."""

    threads: int | None = Field(default=None, ge=1)
    """Of a process, for its models. None is what torch takes by itself, but no more than the cores
    that the process may run on; several processes that search at once are better off with their
    share of these."""

    lock_timeout: float = Field(default=10.0, ge=0, le=LONGEST_WAIT)
    """Seconds that a write to an index waits for another process that is writing to it."""

    debug: bool = False
    """True: the command line shows the traceback of an error, not only its message."""

    cache: Path = Path.home() / ".cache" / "rerank-search"
    """Where evaluation and training keep what can be computed again: indexes, scores, vectors."""

    def __init__(self) -> None:
        try:
            super().__init__()
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            variable = f"{PREFIX}{problem['loc'][0]}".upper()
            raise InvalidInputError(
                f"the environment variable {variable} is {shown(problem['input'])}: "
                f"{problem['msg']}"
            ) from None
