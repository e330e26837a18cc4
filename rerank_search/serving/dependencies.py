"""What FastAPI gives to routes: the service, and the threads for slow work."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Request

from rerank_search.serving.service import Service
from rerank_search.serving.threads import Threads


def provide(app: FastAPI, service: Service) -> None:
    """Give this service to the routes of the app."""
    app.state.service = service


# Asynchronous, since FastAPI calls other functions in a thread.


async def service_of(request: Request) -> Service:
    """The service that the app was made for."""
    service: Service = request.app.state.service
    return service


async def _threads_of(request: Request) -> Threads:
    return (await service_of(request)).threads


ServiceGiven = Annotated[Service, Depends(service_of)]
ThreadsGiven = Annotated[Threads, Depends(_threads_of)]
