"""The routes for running a server, and the search page."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI, Response
from fastapi.staticfiles import StaticFiles
from starlette.responses import FileResponse

from rerank_search.serving.dependencies import ServiceGiven
from rerank_search.serving.route_table import Facts, declared

UI = Path(__file__).parent.parent / "ui"

router = APIRouter(tags=["operations"])


@router.get("/health/live")
@declared(Facts(public=True, traced=False))
async def live() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "live"}


@router.get("/health/ready")
@declared(Facts(public=True, traced=False))
async def ready() -> dict[str, str]:
    """Whether requests are accepted: models are loaded before the first one."""
    return {"status": "ready"}


@router.get("/metrics", response_class=Response)
@declared(Facts(traced=False, of_all=True))
async def metrics(service: ServiceGiven) -> Response:
    """Counts and times, for Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/", include_in_schema=False)
@declared(Facts(public=True, traced=False))
async def page() -> FileResponse:
    """The search page."""
    return FileResponse(UI / "index.html")


def add_page_files(app: FastAPI) -> None:
    """Serve the scripts and styles of the search page."""
    app.mount("/ui", StaticFiles(directory=UI))
