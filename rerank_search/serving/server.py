"""The server process: its address, its log, and its end."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Sequence
from types import TracebackType

import uvicorn

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.base import Reranker
from rerank_search.retrieval.base import TextEncoder
from rerank_search.serving.app import Routes, create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.keys import KeyFile
from rerank_search.serving.limits import Limits
from rerank_search.serving.log import log_to
from rerank_search.serving.service import Service
from rerank_search.serving.traces import Traces

GRACE_SECONDS = 30
"""Time that unfinished requests get when the process is told to end."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""The names of this machine for itself."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Server:
    """A server, which takes its address before models are loaded.

    Raises InvalidInputError for an address that is in use or not this machine's.
    """

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio sends small answers without delay only if the socket names TCP.
        self.socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind((host, port))
        except OSError as error:
            self.socket.close()
            raise InvalidInputError(
                f"the server cannot listen at {host}:{port} ({error.strerror or error}): "
                "choose another --port or --host"
            ) from error
        self._host = shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.socket.getsockname()[1]}"

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def run(
        self,
        indexes: Indexes,
        rerankers: Sequence[Reranker],
        limits: Limits,
        *,
        encoders: Sequence[TextEncoder] = (),
        keys: KeyFile | None = None,
        share_batches: bool = True,
        traces: Traces | None = None,
        further: Sequence[Routes] = (),
        cors_origins: Sequence[str] = (),
        lenient: bool = False,
    ) -> None:
        """Answer requests until SIGTERM or SIGINT; unfinished ones are finished first.

        ``further``, ``cors_origins`` and ``lenient`` as in ``create_app``. The log of the whole
        process goes to the standard error, as lines of JSON.
        """
        log_to(sys.stderr)
        service = Service(
            indexes,
            rerankers,
            limits,
            encoders=encoders,
            share_batches=share_batches,
            traces=traces,
        )
        # Without keys only this machine may send requests.
        open_to_all = keys is not None or not is_loopback(self._host.strip("[]"))
        hosts = None if open_to_all else frozenset({*LOOPBACK, self._host})
        app = create_app(
            service,
            keys=keys,
            hosts=hosts,
            further=further,
            cors_origins=cors_origins,
            lenient=lenient,
        )
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # headers with which a caller could claim any address
            timeout_graceful_shutdown=GRACE_SECONDS,
            h11_max_incomplete_event_size=65_536,
        )
        uvicorn.Server(config).run(sockets=[self.socket])
