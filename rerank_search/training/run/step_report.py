"""Shows the progress of a training run: a bar, and log lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from transformers import TrainerCallback

from rerank_search.progress import Progress

logger = logging.getLogger(__name__)


class StepReport(TrainerCallback):
    """Opens the bar in ``shown``, which closes it, and logs losses and measures."""

    def __init__(self, progress: Progress, shown: ExitStack) -> None:
        self._progress = progress
        self._shown = shown

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar; a resumed run begins at its last step."""
        self._tick = self._shown.enter_context(self._progress("training", state.max_steps))
        self._tick(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Advance the bar by one step."""
        self._tick(1)

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log the mean loss since the last line."""
        if logs and "loss" in logs:
            logger.info(
                "%s: loss %.4f, learning rate %.2g",
                _place(state),
                logs["loss"],
                logs["learning_rate"],
            )

    def on_evaluate(
        self,
        args: Any,
        state: Any,
        control: Any,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log all measures, without their times."""
        measured = {
            name.removeprefix("eval_"): value
            for name, value in (metrics or {}).items()
            if name.startswith("eval_") and name not in _TIMES
        }
        shown = ", ".join(f"{name} {value:.4f}" for name, value in measured.items())
        logger.info("%s: %s", _place(state), shown)


_TIMES = {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}


def _place(state: Any) -> str:
    return f"step {state.global_step:,} of {state.max_steps:,} (epoch {state.epoch:.2f})"
