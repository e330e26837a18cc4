"""A model's matrix products in int8, for OpenVINO: weights ahead, their inputs at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.models.backends import imports

GROUP = 32
"""Number of neighbouring numbers that share a scale, in weights and in their inputs.

With one scale for 64, or for a row, the bundled reranker's rankings changed more."""

_SMALLEST = 1e-5

_AT_ONCE = 4
"""Examples observed together: all inputs of all their products are in memory at that time."""


def quantise(model: Any, examples: Mapping[str, NDArray[np.int64]]) -> None:
    """Replace the weights of an openvino.Model's matrix products by int8 with scales.

    A few inputs of a product are far larger than the others, and would leave the others few of the
    256 steps. So each input is divided by a factor, and its weights are multiplied by it, which
    makes both about equally large (SmoothQuant, Xiao et al. 2023, equation 4 with alpha = 0.5).
    ``examples`` are inputs of the model, on which the largest values are observed. Products whose
    inner size is not a multiple of ``GROUP`` are left unchanged.
    """
    opset = imports.openvino().opset13
    products = [each for each in model.get_ops() if _is_fit(each)]
    for product, highest in zip(products, largest(model, products, examples), strict=True):
        weight = _weight(product)
        factors = np.sqrt(
            np.maximum(highest, _SMALLEST) / np.maximum(np.abs(weight).max(axis=0), _SMALLEST)
        )
        rounded, scales = grouped(weight * factors)
        scaled = opset.multiply(
            opset.convert(opset.constant(rounded), np.float32), opset.constant(scales)
        )
        whole = opset.reshape(scaled, opset.constant(np.array(weight.shape)), False)
        smooth = opset.multiply(product.input_value(0), opset.constant(1 / factors))
        product.output(0).replace(opset.matmul(smooth, whole, False, True).output(0))


def grouped(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix (outputs, inputs) as int8 of (outputs, groups, GROUP), and each group's scale.

    The scales have the shape (outputs, groups, 1). Scale times int8 is the weight, to within half a
    scale.
    """
    parts = weight.reshape(len(weight), -1, GROUP)
    scales = np.abs(parts).max(axis=2, keepdims=True) / 127
    rounded = np.round(parts / np.where(scales == 0, 1, scales)).astype(np.int8)
    return rounded, scales.astype(np.float32)


def _is_fit(node: Any) -> bool:
    if node.get_type_name() != "MatMul" or node.get_attributes()["transpose_a"]:
        return False
    if node.input_value(1).get_node().get_type_name() != "Constant":
        return False
    weight = _weight(node)
    return weight.ndim == 2 and weight.shape[1] % GROUP == 0


def _weight(product: Any) -> NDArray[np.float32]:
    """The weights of a product, shape (outputs, inputs)."""
    weight = np.asarray(product.input_value(1).get_node().data, dtype=np.float32)
    return weight if product.get_attributes()["transpose_b"] else weight.T


def largest(
    model: Any, products: Sequence[Any], examples: Mapping[str, NDArray[np.int64]]
) -> list[NDArray[np.float32]]:
    """The largest absolute value of each of the inputs of each product."""
    probe = model.clone()
    inputs = [product.input_value(0) for product in products]
    places = [(each.get_node().get_friendly_name(), each.get_index()) for each in inputs]
    distinct = list(dict.fromkeys(places))
    before = len(probe.outputs)
    probe.add_outputs(distinct)
    compiled = (
        imports.openvino().Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    )
    highest = {place: np.zeros((), dtype=np.float32) for place in distinct}
    for start in range(0, len(next(iter(examples.values()))), _AT_ONCE):
        found = compiled(
            {name: values[start : start + _AT_ONCE] for name, values in examples.items()}
        )
        for i, place in enumerate(distinct):
            values = found[before + i]
            own = np.abs(values).max(axis=tuple(range(values.ndim - 1)))
            highest[place] = np.maximum(highest[place], own)
    return [highest[place] for place in places]
