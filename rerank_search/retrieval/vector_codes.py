"""Vectors of length 1 as they are stored: in float32, in float16, or as codes of 8 bits.

For "int8" a vector is first rotated by a fixed orthogonal matrix, which spreads it evenly over all
dimensions: its numbers then lie within a few standard deviations of 0, whatever the model, and one
fixed range fits all of them. So nothing has to be learned from the first vectors, and a vector's
codes do not depend on the others. Queries are rotated too, which keeps every inner product.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rerank_search.types import VectorDtype

if TYPE_CHECKING:
    import faiss

Rows: TypeAlias = NDArray[Any]
"""Stored vectors, shape (n, d): float32, float16, or codes in uint8."""

RANGE = 5.0
"""Half of the range of the codes, in standard deviations of a rotated vector's numbers.

One number in a million is outside of it, and is stored as the nearest one inside. A wider range
would make the steps between codes larger for all the others."""


def numpy_dtype(dtype: VectorDtype) -> np.dtype[Any]:
    """The type of the stored numbers."""
    return np.dtype("uint8" if dtype == "int8" else dtype)


def stored(vectors: NDArray[np.float32], dtype: VectorDtype) -> Rows:
    """The rows to store of vectors, float32, shape (n, d)."""
    if dtype != "int8":
        return vectors.astype(dtype, copy=False)
    codes: Rows = empty_index(vectors.shape[1], dtype).sa_encode(rotated(vectors, dtype))
    return codes


def widened(rows: Rows, dtype: VectorDtype) -> NDArray[np.float32]:
    """Stored rows as float32; those of int8 stay rotated."""
    if dtype != "int8":
        return np.ascontiguousarray(rows, dtype=np.float32)
    vectors: NDArray[np.float32] = empty_index(rows.shape[1], dtype).sa_decode(
        np.ascontiguousarray(rows)
    )
    return vectors


def rotated(vectors: NDArray[np.float32], dtype: VectorDtype) -> NDArray[np.float32]:
    """Vectors as stored rows are to be multiplied with: rotated for int8, else unchanged."""
    if dtype != "int8":
        return vectors
    return np.ascontiguousarray(vectors @ _rotation(vectors.shape[1]))


def empty_index(dimension: int, dtype: VectorDtype) -> faiss.IndexFlatCodes:
    """An exact FAISS index of inner products, whose codes are stored rows."""
    import faiss

    if dtype == "float32":
        return faiss.IndexFlatIP(dimension)
    if dtype == "float16":
        return faiss.IndexScalarQuantizer(
            dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
    index = faiss.IndexScalarQuantizer(
        dimension, faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT
    )
    most = min(1.0, RANGE / dimension**0.5)
    lowest_and_width = np.array([-most, 2 * most], np.float32)
    faiss.copy_array_to_vector(lowest_and_width, index.sq.trained)
    index.is_trained = True
    return index


@lru_cache(maxsize=8)
def _rotation(dimension: int) -> NDArray[np.float32]:
    """A cosine transform (DCT-II, orthonormal) of numbers with signs drawn once for all."""
    place = np.arange(dimension)
    angles = np.pi * (place[:, None] + 0.5) * place / dimension
    transform = np.sqrt(2 / dimension) * np.cos(angles)
    transform[:, 0] /= np.sqrt(2)
    drawn = np.frombuffer(hashlib.shake_256(b"signs").digest(dimension), np.uint8)
    signs = np.where(drawn & 1, 1.0, -1.0)
    return np.ascontiguousarray(signs[:, None] * transform, dtype=np.float32)
