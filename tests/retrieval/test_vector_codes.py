import numpy as np
import pytest

from rerank_search.retrieval.vector_codes import empty_index, rotated, stored, widened


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def spread(dimension: int, count: int = 40) -> np.ndarray:
    return unit(np.random.default_rng(0).standard_normal((count, dimension)))


def with_one_large_number(dimension: int) -> np.ndarray:
    """As many models make them: one dimension far from 0 in every vector."""
    rows = np.random.default_rng(1).standard_normal((40, dimension))
    rows[:, 3] = 2 * dimension**0.5
    return unit(rows)


@pytest.mark.parametrize("dimension", [2, 32, 384, 1000])
def test_the_rotation_keeps_inner_products(dimension: int) -> None:
    vectors = spread(dimension)
    turned = rotated(vectors, "int8")
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-5)


@pytest.mark.parametrize(
    "vectors", [spread(384), with_one_large_number(384), np.eye(384, dtype=np.float32)[:40]]
)
def test_codes_keep_cosines_to_three_digits(vectors: np.ndarray) -> None:
    near = widened(stored(vectors, "int8"), "int8") @ rotated(vectors, "int8").T
    assert np.abs(near - vectors @ vectors.T).max() < 0.003


def test_codes_of_a_vector_do_not_depend_on_the_others() -> None:
    vectors = spread(64)
    together = stored(vectors, "int8")
    for vector, codes in zip(vectors, together, strict=True):
        np.testing.assert_array_equal(stored(vector[None], "int8")[0], codes)


def test_codes_are_those_of_every_version() -> None:
    codes = stored(np.eye(8, dtype=np.float32)[:2], "int8")
    assert codes.tolist() == [
        [172, 190, 186, 180, 172, 162, 151, 139],
        [172, 180, 151, 115, 82, 64, 68, 92],
    ]


@pytest.mark.parametrize(("dtype", "bytes_each"), [("float32", 4), ("float16", 2), ("int8", 1)])
def test_a_number_takes_as_much_on_disk_as_in_memory(dtype, bytes_each: int) -> None:
    rows = stored(spread(48), dtype)
    assert rows.nbytes == 40 * 48 * bytes_each
    assert empty_index(48, dtype).sa_code_size() == 48 * bytes_each


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_widened_rows_are_stored_as_they_were(dtype) -> None:
    index = empty_index(48, dtype)
    rows = stored(spread(48), dtype)
    np.testing.assert_array_equal(
        index.sa_encode(widened(rows, dtype)), np.ascontiguousarray(rows).view(np.uint8)
    )
