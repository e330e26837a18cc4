"""``rerank-search mcp``."""

from __future__ import annotations

from typing import Annotated

import typer

from rerank_search.cli.location import home_folder
from rerank_search.cli.mcp_arguments import About, UrlKeys, UrlTemplate, links
from rerank_search.cli.served_indexes import IndexesArgument, served_indexes
from rerank_search.errors import IndexNotFoundError


def mcp(
    indexes: IndexesArgument = None,
    reranker: Annotated[
        str | None,
        typer.Option(
            help="A reranker: name, folder, hub id or URL.  "
            "[default: RERANK_SEARCH_RERANKER, or rerank-search-base]"
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Let models add and delete documents.")
    ] = False,
    about: About = "",
    url_template: UrlTemplate = None,
    url_key: UrlKeys = None,
) -> None:
    """Offer indexes to agents, by MCP over standard input and output."""
    from rerank_search.models.registry import AUTO, reranker_name
    from rerank_search.plugins.mcp.server import mcp_server
    from rerank_search.plugins.mcp.stdio import Wire
    from rerank_search.reranking.elsewhere import reranker_elsewhere
    from rerank_search.reranking.loaded_later import LoadedLater
    from rerank_search.serving.limits import Limits
    from rerank_search.serving.service import Service

    places = links(url_template, url_key)
    served = served_indexes(indexes)
    if not served.names():
        raise IndexNotFoundError(
            f"there is no index in {home_folder().resolve()}: name one by its path, or set "
            "RERANK_SEARCH_HOME to the folder of your indexes"
        )
    wire = Wire()
    for name in served.names() if indexes else []:
        with served.use(name):  # one that cannot be opened is told before the handshake
            pass
    model = reranker_name(reranker or AUTO)
    service = Service(served, [reranker_elsewhere(model) or LoadedLater(model)], Limits())
    server = mcp_server(service, write=write, links=places, about=about, lifespan=wire.lifespan)
    try:
        wire.serve(server)
    finally:
        service.close()
