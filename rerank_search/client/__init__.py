"""Searching and reranking by a server (``rerank-search serve``), as if its indexes were here."""

from __future__ import annotations

from rerank_search.client.calls import ServedIndex, ServedModel
from rerank_search.client.clients import AsyncClient, Client
from rerank_search.client.errors import ServerError

__all__ = ["AsyncClient", "Client", "ServedIndex", "ServedModel", "ServerError"]
