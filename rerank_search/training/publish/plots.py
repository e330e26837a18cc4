"""Pictures of a training run, for its model card."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

logger = logging.getLogger(__name__)

Curves: TypeAlias = Mapping[str, Sequence[tuple[int, float]]]
"""Label to points of (step, value)."""

_COLOURS = ("#3b82c4", "#dd7a2e", "#2f9e77", "#a767c9", "#cf5573", "#8c8f2f")
_OF_TIME = ("runtime", "_per_second", "model_preparation_time")


def training_plots(log_history: Sequence[Mapping[str, Any]], folder: Path) -> list[str]:
    """Draw ``loss.svg`` and ``measures.svg`` into ``folder``, over the steps; return their names.

    ``log_history`` is that of the trainer's state. A picture without a point is left out. Without
    matplotlib both are left out, with a note in the log.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        logger.warning(
            "the run has no plots, because matplotlib is missing: pip install 'rerank-search[eval]'"
        )
        return []
    measures = _measures(log_history)
    losses = {label: points for label, points in measures.items() if label.endswith("loss")}
    training = _points(log_history, "loss")
    pictures = {
        "loss.svg": ({"training loss": training} if training else {}) | losses,
        "measures.svg": {label: curve for label, curve in measures.items() if label not in losses},
    }
    drawn = {name: curves for name, curves in pictures.items() if curves}
    for name, curves in drawn.items():
        _draw(curves, folder / name)
    return list(drawn)


def _measures(log_history: Sequence[Mapping[str, Any]]) -> Curves:
    """The measures that were taken during the training."""
    keys = dict.fromkeys(key for entry in log_history for key in entry if key.startswith("eval_"))
    found = {
        key.removeprefix("eval_").replace("_", " "): _points(log_history, key)
        for key in keys
        if not key.endswith(_OF_TIME)
    }
    return {label: points for label, points in found.items() if points}


def _points(log_history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    """The finite values; a loss that has overflowed cannot be drawn."""
    return [
        (entry["step"], float(entry[key]))
        for entry in log_history
        if isinstance(entry.get(key), (int, float)) and math.isfinite(entry[key])
    ]


def _draw(curves: Curves, path: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for number, (label, points) in enumerate(curves.items()):
        axes.plot(
            [step for step, _ in points],
            [value for _, value in points],
            marker="o" if len(points) < 50 else "",
            markersize=3,
            linewidth=1.4,
            color=_COLOURS[number % len(_COLOURS)],
            label=label.replace("$", r"\$"),  # "$" would begin a formula
        )
    axes.set_xlabel("step")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    # Make the file of the same run the same.
    with matplotlib.rc_context({"svg.hashsalt": path.name}):
        figure.savefig(path, format="svg", metadata={"Date": None})
