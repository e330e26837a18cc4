from __future__ import annotations

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.settings import Settings


def test_a_variable_that_cannot_be_used_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_OFFLINE", "perhaps")
    with pytest.raises(InvalidInputError, match="RERANK_SEARCH_OFFLINE='perhaps' is invalid"):
        Settings()


def test_an_empty_variable_is_as_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, field in Settings.model_fields.items():
        monkeypatch.setenv(f"RERANK_SEARCH_{name.upper()}", "")
        assert getattr(Settings(), name) == field.default
