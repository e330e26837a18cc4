"""The plots of report.html, as SVG in the page's colours, light or dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from rerank_search.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points: TypeAlias = Sequence[tuple[float, float]]

# Middle tones that differ on white and on black, also for most colour-blind people.
_COLOURS = ("#3b82c4", "#dd7a2e", "#2f9e77", "#a767c9", "#cf5573", "#8c8f2f")
_GAIN, _LOSS = "#3b82c4", "#dd7a2e"
_MUTED = "#8a8f98"
# A colour that nothing else has; it is replaced by the colour of the page's text.
_INK = "#010203"


@dataclass(frozen=True, slots=True)
class Line:
    """A series of (x, y). ``colour`` is a number (None: muted), the rest is as in matplotlib.

    ``names``, if there are any, are written beside the points.
    """

    label: str
    points: Points
    colour: int | None
    style: str = "-"
    marker: str = "o"
    names: Sequence[str] = ()


def depth_plot(lines: Sequence[Line], measure: str, identity: str) -> str:
    """Quality against the number of candidates."""
    figure, axes = _axes("candidates", measure)
    axes.set_xscale("log")
    for line in lines:
        _draw(axes, line)
    depths = sorted({depth for line in lines for depth, _ in line.points})
    axes.set_xticks(depths, [f"{depth:g}" for depth in depths])
    axes.minorticks_off()
    _legend(axes, len(lines))
    return _svg(figure, identity)


def latency_plot(lines: Sequence[Line], measure: str, identity: str) -> str:
    """Quality against the median time of a search; wide, because there may be many systems."""
    figure, axes = _axes("median search in milliseconds", measure, width=9.0, height=4.2)
    from matplotlib.ticker import LogLocator

    axes.set_xscale("log", subs=[])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.margins(0.05, 0.08)
    for line in lines:
        _draw(axes, line)
    _legend(axes, len(lines))
    return _svg(figure, identity)


def delta_plot(deltas: Sequence[float], measure: str, identity: str) -> str:
    """What reranking changed query by query, from the largest gain to the largest loss."""
    import numpy as np

    figure, axes = _axes("queries, sorted", f"change of {measure}")
    ordered = np.sort(np.asarray(deltas))[::-1]
    # One path for each colour: thousands of bars would make the page heavy.
    edges = np.arange(len(ordered) + 1)
    steps = np.append(ordered, ordered[-1:])
    for colour, kept in ((_GAIN, np.maximum(steps, 0)), (_LOSS, np.minimum(steps, 0))):
        axes.fill_between(edges, kept, step="post", color=colour, linewidth=0)
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.set_xlim(0, max(1, len(ordered)))
    return _svg(figure, identity)


def precision_recall_plot(curves: Mapping[str, Points], identity: str) -> str:
    """Precision against recall, one curve for each reranker."""
    figure, axes = _axes("recall", "precision")
    for number, (label, points) in enumerate(curves.items()):
        _draw(axes, Line(label, points, number, marker=""))
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.05)
    _legend(axes, len(curves))
    return _svg(figure, identity)


def _axes(x: str, y: str, width: float = 5.0, height: float = 2.8) -> tuple[Figure, Axes]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "the plots of report.html need matplotlib: run `pip install 'rerank-search[eval]'`"
        ) from error
    figure = Figure(figsize=(width, height))
    axes = figure.add_subplot()
    _set_margins(figure, legend=0)
    axes.set_xlabel(x, color=_INK, fontsize=9)
    axes.set_ylabel(y, color=_INK, fontsize=9)
    axes.tick_params(colors=_INK, labelsize=8.5, width=0.6)
    axes.grid(color=_MUTED, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set(color=_INK, linewidth=0.6)
    return figure, axes


def _draw(axes: Axes, line: Line) -> None:
    colour = _MUTED if line.colour is None else _COLOURS[line.colour % len(_COLOURS)]
    axes.plot(
        [x for x, _ in line.points],
        [y for _, y in line.points],
        line.style,
        marker=line.marker,
        markersize=4,
        linewidth=1.6,
        color=colour,
        label=line.label.replace("$", r"\$"),  # "$" would begin a formula
    )
    for name, point in zip(line.names, line.points, strict=bool(line.names)):
        axes.annotate(
            name, point, (0, 5), textcoords="offset points", ha="center", color=_INK, fontsize=7
        )


def _legend(axes: Axes, entries: int) -> None:
    figure = axes.get_figure(root=True)
    if figure is None:
        return
    columns = int(figure.get_figwidth() // 2.5)
    _set_margins(figure, legend=0.19 * math.ceil(entries / columns) + 0.1)
    figure.legend(loc="lower center", ncols=columns, fontsize=8, frameon=False, labelcolor=_INK)


def _set_margins(figure: Figure, legend: float) -> None:
    """Leave room for a legend below; in inches, because layout engines take much longer."""
    width, height = figure.get_figwidth(), figure.get_figheight() + legend
    figure.set_figheight(height)
    figure.subplots_adjust(
        0.65 / width, (0.45 + legend) / height, 1 - 0.2 / width, 1 - 0.1 / height
    )


def _svg(figure: Figure, identity: str) -> str:
    """The figure as an element of HTML; ``identity`` makes its ids differ from other figures'."""
    import matplotlib

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": identity}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    root, _, content = buffer.getvalue().partition("<svg")[2].partition(">")
    box = re.findall(r'viewBox="[^"]*"', root)[0]
    content = re.sub(r"<style.*?</style>", "", content, count=1)
    content = re.sub(r"font-family: [^;\"]*;? ?", "", content)
    content = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{identity}-", content)
    content = content.replace("xlink:href", "href").replace(_INK, "currentColor")
    return f'<svg aria-hidden="true" {box}>{content.strip()}'
