"""``rerank-search mcp``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rerank_search.cli.location import home_folder
from rerank_search.cli.mcp_arguments import About, Instruction, UrlKeys, UrlTemplate, links
from rerank_search.cli.served_indexes import served_indexes
from rerank_search.errors import IndexNotFoundError, InvalidInputError

if TYPE_CHECKING:
    from rerank_search.plugins.mcp.remote_service import RemoteService
    from rerank_search.serving.service import Service


def mcp(
    indexes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INDEX]...",
            help="A path, a name below ./indexes or $RERANK_SEARCH_HOME, the URL of a store (also "
            "NAME=URL), of a server's index, http://HOST:PORT/v1/indexes/NAME, or of a server.  "
            "[default: all indexes there]",
        ),
    ] = None,
    reranker: Annotated[
        str | None,
        typer.Option(
            help="A reranker: name, folder, hub id or URL; for a server's indexes the name of one "
            "of its rerankers.  [default: RERANK_SEARCH_RERANKER, or rerank-search-base; the "
            "server's first one]"
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Let models add and delete documents.")
    ] = False,
    about: About = "",
    instruction: Instruction = None,
    url_template: UrlTemplate = None,
    url_key: UrlKeys = None,
) -> None:
    """Offer indexes to agents, by MCP over standard input and output.

    The key for a server is read from RERANK_SEARCH_API_KEY.
    """
    from rerank_search.plugins.index_url import is_url
    from rerank_search.plugins.mcp.server import mcp_server
    from rerank_search.plugins.mcp.stdio import Wire

    places = links(url_template, url_key)
    urls = [each for each in indexes or [] if is_url(each)]
    if urls and len(urls) < len(indexes or []):
        raise InvalidInputError(
            f"{urls[0]} is on a server, and others of the indexes are not: give either, and start "
            "another `rerank-search mcp` for the rest"
        )
    opening = _of_server(urls, reranker) if urls else _of_folders(indexes, reranker)
    wire = Wire()
    service = opening()  # what libraries print now goes to the standard error
    server = mcp_server(
        service,
        write=write,
        links=places,
        about=about,
        instruction=instruction,
        lifespan=wire.lifespan,
    )
    try:
        wire.serve(server)
    finally:
        service.close()


def _of_server(urls: Sequence[str], reranker: str | None) -> Callable[[], RemoteService]:
    """A function that returns the indexes of a server, which has been asked for them once."""
    from rerank_search.models.registry import AUTO
    from rerank_search.plugins.mcp.remote_service import RemoteService

    service = RemoteService(*urls, model=reranker or AUTO)
    try:
        service.check()
    except BaseException:
        service.close()
        raise
    return lambda: service


def _of_folders(indexes: Sequence[str] | None, reranker: str | None) -> Callable[[], Service]:
    """A function that returns the indexes in folders, and opens those that are named."""
    from rerank_search.models.registry import AUTO, reranker_name
    from rerank_search.reranking.elsewhere import reranker_elsewhere
    from rerank_search.reranking.loaded_later import LoadedLater
    from rerank_search.serving.errors import ApiError, told
    from rerank_search.serving.limits import Limits
    from rerank_search.serving.service import Service

    served = served_indexes(indexes)
    if not served.names():
        raise IndexNotFoundError(
            f"there is no index in {home_folder().resolve()}: name one by its path, or set "
            "RERANK_SEARCH_HOME to the folder of your indexes"
        )

    def opened() -> Service:
        for name in served.names() if indexes else []:
            try:
                with served.use(name):  # one that cannot be opened is told before the handshake
                    pass
            except ApiError as error:  # callers would not see its path or its address
                raise told(error) from None
        model = reranker_name(reranker or AUTO)
        return Service(served, [reranker_elsewhere(model) or LoadedLater(model)], Limits())

    return opened
