"""A server with the REST API of Qdrant, as far as the store calls it, over the client's local mode.

Requests are read with the client's models, which refuse what the API does not have.
"""

from __future__ import annotations

import threading
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from qdrant_client import QdrantClient, models


class QdrantServer:
    """The app, the client that answers, and the bodies of all requests.

    ``refusals`` are the answers, each a status, headers and a body, that the next requests get.
    """

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:", force_disable_check_same_thread=True)
        self.requests: list[tuple[str, str, Any]] = []
        self.keys: list[str | None] = []
        self.refusals: list[tuple[int, dict[str, str], Any]] = []
        self.indexes: dict[str, Any] = {}
        self._turns = threading.Lock()
        self.app = FastAPI()
        self.app.add_api_route("/{path:path}", self.answer, methods=["GET", "POST", "PUT", "PATCH"])

    async def answer(self, path: str, request: Request) -> JSONResponse:
        body = await request.json() if await request.body() else None
        self.requests.append((request.method, path, body))
        self.keys.append(request.headers.get("api-key"))
        if self.refusals:
            status, headers, said = self.refusals.pop(0)
            return JSONResponse(said, status, headers)
        with self._turns:
            try:
                result = self.result(request.method, path.split("/")[1:], body)
            except ValueError as error:
                status = 404 if "not found" in str(error) else 400
                return JSONResponse({"status": {"error": str(error)}, "time": 0.0}, status)
        return JSONResponse({"result": result, "status": "ok", "time": 0.0})

    def result(self, method: str, path: list[str], body: Any) -> Any:
        name, *rest = path
        client = self.client
        match method, rest:
            case "GET", ["exists"]:
                return {"exists": client.collection_exists(name)}
            case "GET", []:
                info = dumped(client.get_collection(name))
                return info | {"payload_schema": self.indexes}
            case "PUT", []:
                asked = models.CreateCollection.model_validate(body)
                return client.create_collection(
                    name, vectors_config=asked.vectors, metadata=asked.metadata
                )
            case "PATCH", []:
                asked = models.UpdateCollection.model_validate(body)
                return client.update_collection(name, metadata=asked.metadata)
            case "PUT", ["index"]:
                asked = models.CreateFieldIndex.model_validate(body)
                index = asked.field_schema
                self.indexes[asked.field_name] = {
                    "data_type": "text", "params": dumped(index), "points": 0
                }  # fmt: skip
                plain = index.model_copy(update={"stemmer": None})  # which the local mode lacks
                return dumped(client.create_payload_index(name, asked.field_name, plain))
            case "PUT", ["points"]:
                asked = models.PointsList.model_validate(body)
                return dumped(client.upsert(name, asked.points))
            case "POST", ["points", "query"]:
                asked = models.QueryRequest.model_validate(body)
                found = client.query_points(
                    name,
                    query=asked.query,
                    using=asked.using,
                    limit=asked.limit,
                    query_filter=asked.filter,
                    with_payload=asked.with_payload,
                )
                return dumped(found)
            case "POST", ["points"]:
                asked = models.PointRequest.model_validate(body)
                found = client.retrieve(name, asked.ids, with_payload=asked.with_payload)
                return [dumped(each) for each in found]
            case "POST", ["points", "delete"]:
                asked = models.PointIdsList.model_validate(body)
                return dumped(client.delete(name, asked))
            case "POST", ["points", "count"]:
                return dumped(client.count(name))
            case _:
                raise ValueError(f"{method} {path} not found")


def dumped(model: Any) -> Any:
    return model.model_dump(mode="json")
