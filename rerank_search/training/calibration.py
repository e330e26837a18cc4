"""``calibrate``: a fusion and a calibration fitted to judged collections, as the command does."""

from __future__ import annotations

from rerank_search.training.publish.fitting import Calibrated, calibrate

__all__ = ["Calibrated", "calibrate"]
