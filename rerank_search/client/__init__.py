"""Clients of a server (``rerank-search serve``), with the methods of ``Searcher``."""

from __future__ import annotations

from rerank_search.client.async_client import AsyncClient
from rerank_search.client.client import Client
from rerank_search.client.indexes import ServedIndex
from rerank_search.client.remote import RemoteSearcher
from rerank_search.client.rerankers import ServedModel
from rerank_search.errors import ServerError

__all__ = ["AsyncClient", "Client", "RemoteSearcher", "ServedIndex", "ServedModel", "ServerError"]
