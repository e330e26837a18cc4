"""Several servers of one model: a call goes to one of them, and to another one if that fails."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import httpx2

from rerank_search.arguments import real_number
from rerank_search.errors import InvalidInputError, ServerError
from rerank_search.http_calls.attempts import Outcome, asked_for
from rerank_search.http_calls.balance import Balance
from rerank_search.http_calls.cancellable import CancellableRequest
from rerank_search.http_calls.faults import TOO_LATE, described, fault_of
from rerank_search.http_calls.model_server import ModelServer, check_allowed
from rerank_search.http_calls.urls import urls_of
from rerank_search.processes import PerProcess
from rerank_search.shown import shown

CONNECT_SECONDS = 5.0
"""Longest wait for a connection to a server if there are others."""

PROBE_SECONDS = 10.0
"""Longest wait for the answer to a probe."""

logger = logging.getLogger(__name__)


class Replicas:
    """The servers of one model, at the URLs in ``name``. Threads may share them.

    A call goes to the server with the fewest outstanding requests. If that one fails, the call goes
    to the next one at once, last to those that are set aside; when all have failed, there are
    further attempts as for one server. Those that fail are set aside, see ``Balance``; a probe of
    one is a copy of a request that another one answers, so that no call has to wait for it.

    Arguments as those of ``ModelServer``. After ``hedge_after`` seconds without an answer a second
    server gets the request too: the first answer counts, and the other request is ended.

    Raises InvalidInputError for invalid arguments, for URLs that name different models, and for a
    key that several hosts would get.
    """

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None,
        timeout: float,
        retries: int,
        hedge_after: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        thread: Callable[..., Thread] = Thread,
    ) -> None:
        self.servers = [
            ModelServer(url, api_key=api_key, timeout=timeout, retries=retries)
            for url in urls_of(name)
        ]
        self._check_servers(api_key is not None)
        if hedge_after is not None:
            real_number("hedge_after", hedge_after, above=0)
            if len(self.servers) == 1:
                raise InvalidInputError(
                    f"hedge_after={shown(hedge_after)} needs a second server: give several URLs, "
                    "separated by commas"
                )
        self._hedge_after = hedge_after
        self._sleep = sleep
        count = len(self.servers)
        self._thread = thread
        self._balance = PerProcess(lambda: Balance(count, clock=clock))
        self._models: dict[int, str] = {}

    def ask(self, body: dict[str, Any], *, until: float = math.inf) -> tuple[ModelServer, Any]:
        """The answer to a POST request, and the server that gave it.

        ``until`` and errors as in ``ModelServer.ask``. Errors that another server would give too
        are raised at once. Raises ServerError if servers answer with different models.
        """
        self.check_allowed()
        content = self.servers[0].content(body)
        attempts = self.servers[0].attempts(until)
        balance = self._balance.get()
        self._probe(balance, content)
        call = _Call(content, until)
        while True:
            for place, outcome in self._outcomes(balance, call):
                self._note(balance, call, place, outcome)
            if fault_of(outcome) is None:
                for each in call.doubtful - {place}:
                    self._set_aside(balance, each, "an error that another server does not have")
                return self.servers[place], self._read(place, outcome)
            if call.may_go_on and len(call.tried) < len(self.servers):
                continue
            if (seconds := attempts.wait(outcome)) is None:
                return self.servers[place], self._read(place, outcome)
            self._sleep(seconds)
            call.tried.clear()

    def check_allowed(self) -> None:
        """Raise ModelNotFoundError for another machine if RERANK_SEARCH_OFFLINE is set."""
        check_allowed(self.servers)

    def close(self) -> None:
        """Close the connections; a later call makes new ones."""
        for server in self.servers:
            server.close()

    def _check_servers(self, with_key: bool) -> None:
        urls = [server.url for server in self.servers]
        if len(set(urls)) < len(urls):
            raise InvalidInputError(f"a URL is given twice ({', '.join(urls)}): give each once")
        if len(models := {server.model for server in self.servers}) > 1:
            named = ", ".join(sorted(model or "none" for model in models))
            raise InvalidInputError(
                f"the URLs name different models after the # ({named}): several URLs are of "
                "servers of one model"
            )
        if with_key and len(hosts := {server.host for server in self.servers}) > 1:
            raise InvalidInputError(
                f"api_key would be sent to {len(hosts)} hosts ({', '.join(sorted(hosts))}): set "
                "the environment variable of each instead, as the documentation of RemoteReranker "
                "says"
            )

    def _outcomes(self, balance: Balance, call: _Call) -> list[tuple[int, Outcome]]:
        """Servers and their outcomes; the last one counts."""
        place = balance.take(call.tried)
        if self._hedge_after is None:
            return [(place, self._outcome(balance, place, call))]
        return self._hedged(balance, place, call, self._hedge_after)

    def _hedged(
        self, balance: Balance, place: int, call: _Call, seconds: float
    ) -> list[tuple[int, Outcome]]:
        ended: SimpleQueue[tuple[int, Future[Outcome]]] = SimpleQueue()
        requests: list[CancellableRequest] = []

        def start(place: int) -> None:
            request, outcome = CancellableRequest(), Future[Outcome]()
            requests.append(request)

            def work() -> None:
                try:
                    outcome.set_result(self._outcome(balance, place, call, request))
                except BaseException as error:  # the caller raises it
                    outcome.set_exception(error)
                ended.put((place, outcome))

            name = f"request to {self.servers[place].host}"
            try:
                self._thread(target=work, name=name, daemon=True).start()
            except RuntimeError:  # the process can have no more threads
                work()

        def next_ended(timeout: float | None = None) -> tuple[int, Outcome]:
            place, outcome = ended.get(timeout=timeout)
            return place, outcome.result()

        try:
            start(place)
            try:
                first = next_ended(seconds)
            except Empty:
                if balance.has_another(others := {place, *call.tried}):
                    start(balance.take(others))
                first = next_ended()
            if fault_of(first[1]) is not None and len(requests) == 2:
                return [first, next_ended()]
            return [first]
        finally:
            for request in requests:
                request.cancel()

    def _outcome(
        self,
        balance: Balance,
        place: int,
        call: _Call,
        through: CancellableRequest | None = None,
    ) -> Outcome:
        """The outcome of a request to a server that was taken."""
        try:
            return self.servers[place].send(
                call.content,
                call.until,
                connect_within=CONNECT_SECONDS if len(self.servers) > 1 else math.inf,
                through=through,
            )
        except httpx2.RequestError as error:
            return error
        finally:
            balance.give_back(place)
            if through is not None:
                through.close()

    def _note(self, balance: Balance, call: _Call, place: int, outcome: Outcome) -> None:
        """Remember what an outcome says of the server."""
        fault = fault_of(outcome)
        call.tried.add(place)
        call.late += isinstance(outcome, TOO_LATE)
        if fault is None:
            self._take_back(balance, place)
        elif fault == "doubtful":
            call.doubtful.add(place)
        elif fault == "busy":
            balance.busy(place, asked_for(outcome))
        elif not call.is_over:  # otherwise the caller has no more time, which says nothing
            self._set_aside(balance, place, described(outcome), least=asked_for(outcome))

    def _probe(self, balance: Balance, content: bytes) -> None:
        """Send a copy of the request to a server whose time is over."""
        if (place := balance.due()) is None:
            return
        server = self.servers[place]

        def work() -> None:
            outcome: Outcome = httpx2.ReadError("the probe has failed")
            try:
                outcome = server.send(content, time.monotonic() + PROBE_SECONDS)
            except httpx2.RequestError as error:
                outcome = error
            except RuntimeError:  # the connections were closed in the meantime
                pass
            finally:  # after any error, or no later call would probe it
                if fault_of(outcome) in ("dead", "doubtful"):
                    self._set_aside(balance, place, described(outcome))
                else:
                    self._take_back(balance, place)

        try:
            self._thread(target=work, name=f"probe of {server.host}", daemon=True).start()
        except RuntimeError:  # the process can have no more threads
            self._set_aside(balance, place, "no thread can begin to probe it")

    def _set_aside(self, balance: Balance, place: int, why: str, *, least: float = 0.0) -> None:
        self._models.pop(place, None)  # it may come back with another model
        seconds = balance.failed(place, least=least)
        if seconds is not None and len(self.servers) > 1:
            url = self.servers[place].url
            logger.warning("%s is set aside for %.1f s: %s", url, seconds, why)

    def _take_back(self, balance: Balance, place: int) -> None:
        if balance.answered(place) and len(self.servers) > 1:
            logger.warning("%s answers again", self.servers[place].url)

    def _read(self, place: int, outcome: Outcome) -> Any:
        """The JSON of the last outcome of a call. Raises ServerError."""
        try:
            answer = self.servers[place].read(outcome)
        except ServerError as error:
            if len(self.servers) == 1 or fault_of(outcome) is None or error.type == "timeout":
                raise
            said = f"none of the {len(self.servers)} servers answers. The last error: {error}"
            raise ServerError(said, status=error.status, type=error.type) from error
        self._check_model(place, answer)
        return answer

    def _check_model(self, place: int, answer: Any) -> None:
        """Raise ServerError if this answer names another model than another server's last one."""
        if not isinstance(answer, dict) or not isinstance(model := answer.get("model"), str):
            return
        self._models[place] = model
        for other, its in list(self._models.items()):
            if its != model:
                raise ServerError(
                    f"the servers {self.servers[place].url} and {self.servers[other].url} have "
                    f"different models, {shown(model)} and {shown(its)}: several URLs are of "
                    "servers of one model"
                )


class _Call:
    """A call that may go to several servers; ``until`` is when nobody waits for it any more."""

    def __init__(self, content: bytes, until: float) -> None:
        self.content = content
        self.until = until
        self.tried: set[int] = set()
        self.doubtful: set[int] = set()
        self.late = 0

    @property
    def is_over(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() >= self.until

    @property
    def may_go_on(self) -> bool:
        """Whether another server may be asked; not after two that took all their time."""
        return not self.is_over and self.late < 2
