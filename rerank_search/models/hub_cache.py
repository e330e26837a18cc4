"""The models in the Hugging Face hub's cache on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_search.models.saved import SavedModel, saved_model

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo, CachedRevisionInfo

_PREFIX = "models--"
"""Beginning of the folder of a model in the cache; ``--`` also stands for each slash."""


@dataclass(frozen=True, slots=True)
class HubCache:
    """What the cache holds; ``problem`` says why it could not be read, if so."""

    folder: Path
    models: tuple[SavedModel, ...] = ()
    problem: str | None = None


def hub_cache() -> HubCache:
    """The models in the cache that downloads go to, by name, the damaged ones too.

    A missing cache is an empty one. Nothing is loaded, and the network is not touched.
    """
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    folder = Path(constants.HF_HUB_CACHE)
    try:
        found = [repo for repo in scan_cache_dir(folder).repos if repo.repo_type == "model"]
        models = [_cached(repo) for repo in found]
        readable = {repo.repo_path.name for repo in found}
        damaged = [path for path in folder.glob(f"{_PREFIX}*") if path.name not in readable]
    except CacheNotFound:
        return HubCache(folder)
    except (OSError, ValueError) as error:  # such as a file that is not UTF-8
        return HubCache(folder, problem=str(error))
    models += [_damaged(path) for path in damaged]
    return HubCache(folder, tuple(sorted(models, key=lambda model: model.name)))


def _cached(repo: CachedRepoInfo) -> SavedModel:
    if not repo.revisions:
        return _damaged(repo.repo_path)
    revision = max(repo.revisions, key=_preference)
    return saved_model(repo.repo_id, revision.snapshot_path, repo.size_on_disk)


def _preference(revision: CachedRevisionInfo) -> tuple[bool, float]:
    """Prefer what a name without a revision loads, and then the newest."""
    return "main" in revision.refs, revision.last_modified


def _damaged(path: Path) -> SavedModel:
    name = path.name.removeprefix(_PREFIX).replace("--", "/")
    return SavedModel(name, "other", None, None, "damaged, or its download was interrupted")
