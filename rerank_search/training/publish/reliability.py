"""Measures whether documents with a probability of 0.3 are relevant three times in ten."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_search.reranking.calibration import Quality
from rerank_search.training.run.packages import require_plots

BINS = 10

COLOURS = ("#dd7a2e", "#3b82c4", "#4a9d5b")


@dataclass(frozen=True, slots=True)
class Bin:
    """Documents of similar probability: their mean probability, and the relevant share."""

    probability: float
    relevant: float
    documents: int


def reliability(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[Quality, Sequence[Bin]]:
    """The expected calibration error and the Brier score, and the bins that plots show.

    Bins have equal mass, lowest probability first. Documents of one probability are never split, so
    there may be fewer than ten bins. The error is the mean difference between a bin's probability
    and its relevant share, weighted by the number of documents.
    """
    edges = np.quantile(probabilities, np.arange(1, BINS) / BINS)
    place = np.searchsorted(edges, probabilities)
    bins = [
        Bin(
            float(probabilities[place == each].mean()),
            float(labels[place == each].mean()),
            int((place == each).sum()),
        )
        for each in np.unique(place)
    ]
    distances = [each.documents * abs(each.probability - each.relevant) for each in bins]
    brier = float(np.mean((probabilities - labels) ** 2))
    return Quality(ece=sum(distances) / len(labels), brier=brier), bins


def reliability_plot(curves: Mapping[str, Sequence[Bin]]) -> bytes:
    """An SVG file: the relevant share of each bin against its probability, by name of the curve.

    Raises MissingDependencyError without matplotlib.
    """
    require_plots()
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    # Most candidates are not relevant: the whole square would show them all in one corner.
    shown = [
        value for bins in curves.values() for b in bins for value in (b.probability, b.relevant)
    ]
    most = min(1.0, 1.05 * max(shown))
    axes.plot([0, most], [0, most], "--", color="#8a8f98", linewidth=1, label="perfect")
    for (name, bins), colour in zip(curves.items(), itertools.cycle(COLOURS), strict=False):
        x, y = [b.probability for b in bins], [b.relevant for b in bins]
        axes.plot(x, y, marker="o", markersize=4, linewidth=1.6, color=colour, label=name)
    axes.set(xlabel="probability", ylabel="relevant share", xlim=(0, most), ylim=(0, most))
    axes.legend(frameon=False, fontsize=8)
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "reliability"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
