"""Imports of the runtimes without their telemetry."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rerank_search.processes import PerProcess

_IMPORTING = PerProcess(threading.Lock)


def openvino() -> Any:
    """The package openvino.

    Its import would send an event to Google Analytics, from a forked process, and keep an id in the
    home folder. It does neither if it cannot import openvino_telemetry.
    """
    with _IMPORTING.get(), _hidden("openvino_telemetry"):
        import openvino

        return openvino


def onnxruntime() -> Any:
    """The package onnxruntime.

    Since version 1.29 its import would start a thread that reports sessions and models to
    Microsoft. Set ``ORT_DISABLE_TELEMETRY=0`` to allow that.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Make imports of a package fail, unless it has been imported before."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
