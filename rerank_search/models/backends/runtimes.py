"""The runtimes that compute an exported model, and how each opens it."""

from __future__ import annotations

import importlib.util
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.models.backends import imports
from rerank_search.models.backends.int8 import GROUP, quantise
from rerank_search.processes import PerProcess

Runtime: TypeAlias = Literal["openvino", "onnx"]

Compute: TypeAlias = Callable[[Mapping[str, NDArray[np.int64]]], NDArray[np.float32]]
"""Function from inputs by name, each of shape (pairs, tokens), to features of (pairs, width).

As many threads may call it at a time as it was opened for; each call is computed by one thread.
"""

Examples: TypeAlias = Callable[[], Mapping[str, NDArray[np.int64]]]
"""Function that makes inputs of the model, as ``Compute`` takes them."""

_OPENING = PerProcess(threading.Lock)
"""Lock held while OpenVINO opens a model, and until that model has computed once.

On first use its C++ bindings set things up: a second thread then waits for the first without
releasing the interpreter's lock, which the first one may need. So only one thread at a time goes
through code that has not been used before.
"""

PACKAGES: Mapping[Runtime, str] = {"openvino": "openvino", "onnx": "onnxruntime"}

DTYPES: Mapping[Runtime, frozenset[str]] = {
    "openvino": frozenset({"float32", "bfloat16", "int8"}),
    "onnx": frozenset({"float32"}),
}


def missing(runtime: Runtime) -> list[str]:
    """The packages that the runtime needs and that are not installed."""
    return [name for name in (PACKAGES[runtime], "onnx") if not importlib.util.find_spec(name)]


def require(runtime: Runtime, dtype: str) -> None:
    """Raise MissingDependencyError, or InvalidInputError for a dtype that it cannot compute in."""
    if absent := missing(runtime):
        raise MissingDependencyError(
            f"backend={runtime!r} needs {' and '.join(absent)}: "
            f"pip install 'rerank-search[{runtime}]'"
        )
    if dtype not in DTYPES[runtime]:
        raise InvalidInputError(
            f"backend={runtime!r} does not compute in {dtype}: use one of "
            f"{', '.join(sorted(DTYPES[runtime]))}"
        )


def open_runtime(
    runtime: Runtime, path: Path, dtype: str, threads: int, examples: Examples
) -> Compute:
    """Load an ONNX file into a runtime that computes several batches at a time in ``dtype``.

    One batch in all threads is slower than one in each: the threads would wait for each other after
    every operator, and for any other work of one of the cores.

    ``examples`` makes inputs of the model, which int8 is fitted to.
    """
    return _OPENERS[runtime](path, dtype, threads, examples)


def _openvino(path: Path, dtype: str, threads: int, examples: Examples) -> Compute:
    openvino = imports.openvino()
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if dtype == "bfloat16" else "f32",
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # other processes may be pinned to the same cores
    }
    with _OPENING.get():
        model = openvino.Core().read_model(str(path))
        if dtype == "int8":
            quantise(model, examples())
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = GROUP
        smallest = {each.get_any_name(): np.zeros((1, 2), np.int64) for each in model.inputs}

    def unopened() -> queue.LifoQueue[Any]:
        # The last one first: it already holds memory for a batch. None stands for one to be made.
        requests: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(threads):
            requests.put(None)
        return requests

    def open_again(requests: queue.LifoQueue[Any]) -> None:
        with _OPENING.get():
            made = [requests.get() for _ in range(threads)]
            try:
                if None not in made:  # another thread has made it meanwhile
                    return
                made = [None] * threads
                compiled = openvino.Core().compile_model(model, "CPU", options)
                opened = [compiled.create_infer_request() for _ in range(threads)]
                _computed(opened[0], smallest)
                made = opened
            finally:
                for each in made:
                    requests.put(each)

    own = PerProcess(unopened)

    def compute(inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        requests = own.get()
        while (request := requests.get()) is None:
            requests.put(None)
            open_again(requests)
        try:
            return _computed(request, inputs)
        except BaseException:
            # After running out of memory it keeps what it allocated, and after an interrupt it
            # still runs: do not use it for another batch.
            request = None
            raise
        finally:
            requests.put(request)

    open_again(own.get())
    return compute


def _computed(request: Any, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
    # If memory runs out, infer() would return the previous output without an error.
    request.start_async(dict(inputs))
    request.wait()
    # The output's memory belongs to the request, and the next call overwrites it.
    return np.array(request.get_output_tensor(0).data)


def _onnx(path: Path, _dtype: str, _threads: int, _examples: Examples) -> Compute:
    onnxruntime = imports.onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the calling thread

    def opened() -> Any:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    own = PerProcess(opened)
    own.get()

    def compute(inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        found: Any = own.get().run(None, dict(inputs))[0]
        return np.asarray(found, dtype=np.float32)

    return compute


_OPENERS: Mapping[Runtime, Callable[[Path, str, int, Examples], Compute]] = {
    "openvino": _openvino,
    "onnx": _onnx,
}
