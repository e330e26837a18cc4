"""The server that the files of deploy/ have to fit, with a reranker that needs no model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from rerank_search.serving.app import create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service


class WordCounts:
    """A reranker that needs no model."""

    name = "rerank-search-base"

    def score(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        return np.array([len(text.split()) for _, text in pairs], dtype=np.float32)


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """The application that `serve` serves, without keys."""
    home = tmp_path_factory.mktemp("served")
    service = Service(Indexes(home, {}, all_of_home=True), [WordCounts()], Limits())
    yield create_app(service)
    service.close()


@pytest.fixture(scope="session")
def server(app: FastAPI) -> TestClient:
    return TestClient(app)
