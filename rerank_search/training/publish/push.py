"""Uploads a model to a Hugging Face hub, without the files that it was made from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_search.errors import InvalidInputError, PushError
from rerank_search.settings import Settings

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

_PUBLISHED = (".safetensors", ".json", ".txt", ".model", ".jinja", ".md", ".svg")
"""Suffixes of weights, configurations, vocabularies, templates, the card and its pictures."""
_LEGAL = ("LICENSE", "NOTICE")
_OF_THE_RUN = ("recipe.json", "trainer_state.json", "whole.json")
_PLACEHOLDER = '"cross_encoder_model_id"'
"""The name that sentence-transformers gives to a model without a name in its card."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """An upload: the repository's address, its files, and what was left in the directory."""

    url: str
    files: list[str]
    left_out: list[str]


def push(
    model: Path, repository: str, *, private: bool = False, message: str = "Upload the model"
) -> Pushed:
    """Upload the directory ``model`` to ``repository`` ("name", or "organisation/name").

    The repository is made if it is missing, and all files come in one commit. Checkpoints, training
    data and hidden files are not uploaded. HF_ENDPOINT sets the hub; the token comes from HF_TOKEN
    or ``hf auth login``. The usage in the card names the repository. Raises InvalidInputError for a
    directory without a model or an invalid name, and PushError if the hub cannot be reached,
    refuses, or has a public repository although ``private`` is asked for.
    """
    files, left_out = _files(model)
    if Settings().offline:
        raise PushError("RERANK_SEARCH_OFFLINE is set, but an upload needs the network: unset it")
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    if get_token() is None:
        raise PushError("there is no token for the hub: run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    with _hub_errors(api.endpoint, repository):
        made = api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.repo_info(made.repo_id).private:
            raise PushError(
                f"{made.repo_id} is already public, so nothing was uploaded: make it private on "
                "the hub, or leave --private out"
            )
        operations = [
            CommitOperationAdd(name, _content(model / name, made.repo_id)) for name in files
        ]
        api.create_commit(made.repo_id, operations, commit_message=message)
    return Pushed(f"{api.endpoint}/{made.repo_id}", files, left_out)


def _files(model: Path) -> tuple[list[str], list[str]]:
    """The names below ``model``: of the files to upload, and of the others."""
    if not model.is_dir():
        raise InvalidInputError(
            f"there is no directory {model}: give the output of `rerank-search train`"
        )
    published: list[str] = []
    left_out: list[str] = []
    for folder, folders, files in os.walk(model):
        for name in [name for name in folders if _is_of_the_run(name)]:
            folders.remove(name)
            left_out.append(_below(model, folder, name) + "/")
        for name in files:
            known = name.endswith(_PUBLISHED) or name in _LEGAL
            kept = known and not name.startswith(".") and name not in _OF_THE_RUN
            (published if kept else left_out).append(_below(model, folder, name))
    if "config.json" not in published or not any(
        name.endswith(".safetensors") for name in published
    ):
        raise InvalidInputError(
            f"{model} is not a model, because it has no config.json or no .safetensors file: give "
            "the output of `rerank-search train`"
        )
    return sorted(published), sorted(left_out)


def _is_of_the_run(folder: str) -> bool:
    return folder.startswith((".", "checkpoint-")) or folder.endswith(("-checkpoints", "-data"))


def _below(model: Path, folder: str, name: str) -> str:
    return (Path(folder) / name).relative_to(model).as_posix()


def _content(path: Path, repository: str) -> str | bytes:
    """The path to upload, or the text of the card with the model's name."""
    if path.name != "README.md":
        return str(path)
    text = path.read_text(encoding="utf-8")
    return text.replace(_PLACEHOLDER, f'"{repository}"').encode()


@contextmanager
def _hub_errors(endpoint: str, repository: str) -> Iterator[None]:
    """Turn the errors of the hub's library into those of this package."""
    from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx's
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        OfflineModeIsEnabled,
    )

    try:
        yield
    except HFValidationError as error:
        raise InvalidInputError(
            f"{repository!r} cannot be the name of a repository: {error}"
        ) from None
    except OfflineModeIsEnabled:
        raise PushError(
            "HF_HUB_OFFLINE is set, but an upload needs the network: unset it"
        ) from None
    except HfHubHTTPError as error:
        raise PushError(_refusal(error, endpoint, repository)) from error
    except HTTPError as error:
        raise PushError(
            f"{endpoint} cannot be reached ({error}): check the network, and HF_ENDPOINT"
        ) from error
    except ValueError as error:  # the hub refuses the card's metadata
        raise PushError(f"{endpoint} does not accept the model: {error}") from error


def _refusal(error: HfHubHTTPError, endpoint: str, repository: str) -> str:
    status = error.response.status_code
    if status == 401:
        return (
            f"{endpoint} does not accept the token: run `hf auth login`, or set HF_TOKEN to a "
            "token that may write"
        )
    if status == 403:
        return (
            f"the token may not write to {repository} on {endpoint}: use a token with the right "
            "to write, or another name"
        )
    reason = error.server_message or str(error)
    return f"{endpoint} refused the upload to {repository} (status {status}): {reason}"
