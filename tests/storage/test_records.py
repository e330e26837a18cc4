from types import MappingProxyType
from typing import Any

import pytest

from rerank_search.errors import InvalidDocumentError
from rerank_search.storage.records import checked
from rerank_search.types import Document


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (Document("", "text"), "the id is empty"),
        (Document("a\0b", "text"), "NUL"),
        (Document(7.0, "text"), "id of document 41 is 7.0 but a float"),  # type: ignore[arg-type]
        (Document(True, "text"), "id of document 41 is True"),  # type: ignore[arg-type]
        (Document("a", None), "text is a NoneType"),  # type: ignore[arg-type]
        (Document("a", b"text"), "text is a bytes"),  # type: ignore[arg-type]
        (Document("a", "text", None), "title is a NoneType"),  # type: ignore[arg-type]
        (Document("\ud800", "text"), "id contains a lone surrogate"),
        (Document("a", "x\udfff"), "text contains a lone surrogate at character 1"),
        (Document("a", "", "\ud800"), "title contains a lone surrogate"),
        (Document("a", "", metadata={"k": ["\ud800"]}), "metadata contains a lone surrogate"),
        (Document("a", "", metadata={"\ud800": 1}), "metadata contains a lone surrogate"),
        (Document("a", "", metadata={"k": float("nan")}), "NaN"),
        (Document("a", "", metadata={"k": [{"l": float("-inf")}]}), "infinity"),
        (Document("a", "", metadata={1: "x"}), "the key 1"),  # type: ignore[dict-item]
        (Document("a", "", metadata={"k": {2: "x"}}), "the key 2"),
        (Document("a", "", metadata={"k": b"x"}), "bytes"),
        (Document("a", "", metadata={"k": {1, 2}}), "set"),
        (Document("a", "", metadata=["k"]), "list"),  # type: ignore[arg-type]
        ({"id": "a", "text": "x"}, "dict"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_position_and_reason(
    document: Any, named: str
) -> None:
    with pytest.raises(InvalidDocumentError) as refused:
        checked(document, 41)
    assert "document 41" in str(refused.value)
    assert named in str(refused.value)


def test_metadata_nested_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"k": deep}
    with pytest.raises(InvalidDocumentError, match="nested more than 100 deep"):
        checked(Document("a", "", metadata=deep), 0)


def test_any_mapping_and_sequence_is_taken_as_json() -> None:
    metadata = MappingProxyType({"k": (1, MappingProxyType({"l": None}))})
    record = checked(Document("a", "", metadata=metadata), 0)
    assert record.document().metadata == {"k": [1, {"l": None}]}


def test_metadata_within_the_limit_of_depth_is_stored() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    record = checked(Document("a", "", metadata={"k": deep}), 0)
    assert record.document().metadata == {"k": deep}
