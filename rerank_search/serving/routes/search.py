"""The route of searches."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rerank_search.serving.dependencies import ServiceGiven, ThreadsGiven
from rerank_search.serving.ongoing import OngoingSearch
from rerank_search.serving.route_table import Facts, declared
from rerank_search.serving.schemas.search import SearchAnswer, SearchRequest
from rerank_search.serving.searching import answered
from rerank_search.serving.strict_json import StrictJsonRoute

router = APIRouter(tags=["searching"], route_class=StrictJsonRoute)


@router.post("/v1/search", response_model=SearchAnswer)
@declared(Facts(reads=True))
async def search(
    request: Request, asked: SearchRequest, service: ServiceGiven, threads: ThreadsGiven
) -> Response:
    """Search an index in two stages."""
    ongoing = OngoingSearch()

    def answer() -> bytes:
        """The JSON, written in the thread too: it may hold a thousand documents."""
        return answered(service, asked, ongoing).model_dump_json(exclude_none=True).encode()

    content = await threads.read(request, answer, on_gone=ongoing.cancel)
    return Response(content, media_type="application/json")
