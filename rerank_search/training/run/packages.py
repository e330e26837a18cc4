"""The packages that a run needs."""

from __future__ import annotations

import importlib.util

from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.training.recipe.recipe import Recipe


def require_packages(recipe: Recipe) -> None:
    """Raise MissingDependencyError for a missing package that the run needs."""
    try:
        import accelerate  # type: ignore[import-untyped]  # noqa: F401
        import datasets  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            "training needs more packages: run `pip install 'rerank-search[train,eval]'`"
        ) from None
    # The trainer checks this too, but only after the data are mined and the base is loaded.
    from transformers.integrations import (  # type: ignore[attr-defined]
        get_reporting_integration_callbacks as integrations,
    )

    try:
        named = recipe.arguments.get("report_to")
        for integration in integrations(named):  # type: ignore[no-untyped-call]
            integration()
    except ValueError as error:
        raise InvalidInputError(f"[arguments] report_to cannot be used: {error}") from None
    except (ImportError, RuntimeError) as error:
        raise MissingDependencyError(
            f"[arguments] report_to names a package that is not installed ({error}): install it, "
            "TensorBoard for example with `pip install 'rerank-search[tensorboard]'`"
        ) from None


def require_plots() -> None:
    """Raise MissingDependencyError without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "reliability.svg needs matplotlib: run `pip install 'rerank-search[eval]'`"
        )
