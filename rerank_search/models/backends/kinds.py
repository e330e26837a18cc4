"""The libraries that compute a model, and the precisions."""

from __future__ import annotations

from typing import Literal, TypeAlias

Backend: TypeAlias = Literal["torch", "openvino", "onnx"]
"""The library that computes a model."""

Dtype: TypeAlias = Literal["float32", "bfloat16", "float16", "int8"]
"""The precision of a model's matrix products; logits and vectors are always float32."""
