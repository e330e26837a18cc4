from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rerank_search.errors import InvalidInputError, ModelNotFoundError, ServerError
from rerank_search.http_calls.balance import LONGEST_AWAY
from rerank_search.http_calls.replicas import Replicas
from tests.http_calls.models import Model, started
from tests.waiting import until

BODY = {"query": "paths", "texts": ["one", "two words"]}


class Clock:
    """The clock by which servers are set aside."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def models() -> Iterator[list[Model]]:
    made = [Model(), Model(), Model()]
    with started(*made):
        yield made


@pytest.fixture
def waits() -> list[float]:
    """The waits of calls between their attempts, which nobody waits for."""
    return []


@pytest.fixture
def replicas(
    models: list[Model], clock: Clock, waits: list[float]
) -> Iterator[Callable[..., Replicas]]:
    made: list[Replicas] = []

    def make(path: str = "/rerank", **settings: Any) -> Replicas:
        given: dict[str, Any] = {"api_key": None, "timeout": 60, "retries": 0, **settings}
        name = ", ".join(model.address + path for model in models)
        made.append(Replicas(name, sleep=waits.append, clock=clock, **given))
        return made[-1]

    yield make
    for each in made:
        each.close()


def requests(models: list[Model]) -> list[int]:
    return [len(model.asked) for model in models]


def ask(replicas: Replicas, times: int = 1, **told: Any) -> Any:
    for _ in range(times):
        _, answer = replicas.ask(BODY, **told)
    return answer


def test_calls_take_turns(replicas, models):
    ask(replicas(), times=6)
    assert requests(models) == [2, 2, 2]


def test_calls_at_the_same_time_go_to_servers_with_less_to_do(replicas, models):
    asked = replicas()
    models[0].released.clear()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(ask, asked)
        until(lambda: requests(models) == [1, 0, 0])
        ask(asked, times=4)
        assert requests(models) == [1, 2, 2]
        models[0].released.set()
        slow.result()


@pytest.mark.parametrize("fault", ["die", 502, 503, 504, 500, 599])
def test_a_call_whose_server_fails_goes_to_another_at_once(replicas, models, waits, fault):
    asked = replicas()
    models[0].first.append(fault)
    assert len(ask(asked)) == 2
    assert requests(models) == [1, 1, 0]
    ask(asked, times=4)
    assert requests(models) == [1, 3, 2]  # it is set aside
    assert waits == []


def test_a_server_that_is_not_there_is_set_aside_until_a_probe_finds_it(
    replicas, models, clock, caplog
):
    asked = replicas()
    models[0].stop()
    with caplog.at_level(logging.WARNING):
        ask(asked, times=4)
        clock.now += LONGEST_AWAY
        ask(asked)  # this is copied as a probe, which fails
        until(lambda: "set aside" in caplog.messages[-1] and len(caplog.messages) == 2)
        models[0].start()
        ask(asked, times=2)
        assert models[0].asked == []
        clock.now += LONGEST_AWAY
        ask(asked)
        until(lambda: len(caplog.messages) == 3)
    assert caplog.messages[0].startswith(f"{models[0].address}/rerank is set aside for 0.")
    assert caplog.messages[2] == f"{models[0].address}/rerank answers again"
    assert models[0].asked == [BODY]
    ask(asked, times=3)
    assert len(models[0].asked) == 2


def test_no_call_waits_for_a_probe(replicas, models, clock):
    asked = replicas()
    models[0].first += ["die", "hang"]
    ask(asked)
    clock.now += LONGEST_AWAY
    ask(asked, times=6)
    assert len(models[0].asked) == 2
    asked.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_is_probed_again_after_an_error_of_this_process(
    replicas, models, clock, monkeypatch, caplog
):
    models[0].first.append("die")
    asked = replicas()
    ask(asked, times=3)
    asked.servers[0].close()  # its probe connects again
    clock.now += LONGEST_AWAY
    with monkeypatch.context() as wrong, caplog.at_level(logging.WARNING):
        wrong.setenv("HTTP_PROXY", "nonsense://proxy")
        ask(asked)
        until(lambda: "the probe has failed" in caplog.text)
    clock.now += LONGEST_AWAY
    ask(asked)
    until(lambda: len(models[0].asked) == 2)


class NoThread(threading.Thread):
    """A thread in a process that can have no more."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_a_server_is_probed_again_if_no_thread_could_begin(replicas, models, clock):
    models[0].first.append("die")
    kinds = [NoThread]
    asked = replicas(thread=lambda **given: kinds[0](**given))
    ask(asked)
    clock.now += LONGEST_AWAY
    ask(asked)
    kinds[0] = threading.Thread
    assert len(models[0].asked) == 1
    clock.now += LONGEST_AWAY
    ask(asked)
    until(lambda: len(models[0].asked) == 2)


def test_without_threads_a_call_waits_for_its_answer_itself(replicas, models):
    asked = replicas(hedge_after=60, thread=NoThread)
    ask(asked, times=6)
    assert requests(models) == [2, 2, 2]


def test_if_all_servers_fail_attempts_follow_as_for_one(replicas, models, waits):
    asked = replicas(retries=2)
    for model in models:
        model.stop()
    with pytest.raises(ServerError, match=r"none of the 3 servers answers.*connection") as raised:
        ask(asked)
    assert raised.value.type == "connection"
    assert len(waits) == 2
    models[2].start()
    assert len(ask(asked)) == 2


def test_a_request_that_fails_everywhere_is_not_the_servers_fault(replicas, models, waits):
    asked = replicas(retries=3)
    for model in models:
        model.first.append(500)
    with pytest.raises(ServerError, match=r"none of the 3 servers answers.*500") as raised:
        ask(asked)
    assert raised.value.status == 500
    assert waits == []
    ask(asked, times=3)
    assert requests(models) == [2, 2, 2]


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 424])
def test_an_error_of_the_request_is_raised_at_once(replicas, models, status):
    models[0].first.append(status)
    asked = replicas(retries=3)
    with pytest.raises(ServerError, match=rf"^POST {models[0].address}/rerank: {status}"):
        ask(asked)
    assert requests(models) == [1, 0, 0]
    ask(asked, times=3)
    assert requests(models) == [2, 1, 1]


def test_a_busy_server_is_left_alone_as_long_as_it_asks(replicas, models, clock):
    asked = replicas()
    models[0].first.append((429, 5))
    ask(asked, times=3)
    assert requests(models) == [1, 2, 1]
    clock.now += 5
    ask(asked)
    assert requests(models) == [2, 2, 1]


def test_if_all_are_busy_a_call_waits_as_long_as_they_ask(replicas, models, waits):
    asked = replicas(retries=1)
    for model in models:
        model.first.append((429, 5))
    ask(asked)
    assert 5 <= waits[0] <= 5.5
    assert sum(requests(models)) == 4


def test_a_server_that_hangs_is_set_aside_and_another_is_asked(replicas, models):
    models[0].always = "hang"
    asked = replicas(timeout=0.2)
    ask(asked, times=3)
    assert requests(models) == [1, 2, 1]


def test_a_call_waits_for_two_servers_that_hang_and_no_more(replicas, models):
    for model in models:
        model.always = "hang"
    with pytest.raises(ServerError, match="no answer in time") as raised:
        ask(replicas(timeout=0.2, retries=3))
    assert raised.value.type == "timeout"
    assert sum(requests(models)) == 2


def test_a_budget_that_is_used_up_is_not_the_servers_fault(replicas, models):
    models[0].first.append("hang")
    asked = replicas(retries=3)
    with pytest.raises(ServerError) as raised:
        ask(asked, until=time.monotonic() + 0.1)
    assert raised.value.type == "timeout"
    ask(asked, times=3)
    assert requests(models) == [2, 1, 1]


def test_within_a_budget_another_server_is_asked(replicas, models):
    models[0].first.append("die")
    assert len(ask(replicas(), until=time.monotonic() + 60)) == 2


def test_after_a_while_another_server_gets_the_request_too_and_the_first_is_ended(replicas, models):
    models[0].first.append("hang")
    assert len(ask(replicas(hedge_after=0.01))) == 2
    until(lambda: models[0].gone == 1)
    assert requests(models) == [1, 1, 0]


def test_a_quick_answer_is_asked_for_once(replicas, models):
    asked = replicas(hedge_after=60)
    ask(asked, times=6)
    assert requests(models) == [2, 2, 2]


def test_the_slow_answer_counts_if_the_second_server_fails(replicas, models):
    models[0].released.clear()
    models[1].always = models[2].always = "die"
    asked = replicas(hedge_after=0.01)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, asked)
        until(lambda: requests(models) == [1, 1, 0])
        models[0].released.set()
        assert len(slow.result()) == 2


def test_an_error_of_this_process_is_raised_and_not_waited_for(replicas, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "nonsense://proxy")
    with pytest.raises(InvalidInputError, match="HTTP_PROXY is not the URL of a proxy"):
        ask(replicas(hedge_after=0.01))


def test_nothing_is_hedged_if_no_other_server_is_left(replicas, models):
    models[1].always = models[2].always = "die"
    asked = replicas(hedge_after=0.01)
    models[0].first.append(503)
    with pytest.raises(ServerError):
        ask(asked)
    assert requests(models) == [1, 1, 1]


def test_other_models_are_noticed_by_the_name_in_the_answer(replicas, models):
    body = {"query": "paths", "documents": ["one"]}
    models[0].name = models[1].name = "a"
    models[2].name = "b"
    asked = replicas("/v1/rerank")
    for _ in range(2):
        asked.ask(body)
    with pytest.raises(ServerError, match="have different models, 'b' and 'a'") as raised:
        asked.ask(body)
    assert models[2].address in str(raised.value)


def test_servers_that_come_back_may_have_another_model(replicas, models, clock):
    body = {"query": "paths", "documents": ["one"]}
    for model in models:
        model.name = "a"
    asked = replicas("/v1/rerank")
    for model in models:
        asked.ask(body)
        model.first.append("die")
    with pytest.raises(ServerError):
        asked.ask(body)
    for model in models:
        model.name = "b"
    for _ in range(3):
        asked.ask(body)


def test_each_host_gets_its_own_key(models, monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_KEY_127_0_0_1", "of the address")
    monkeypatch.setenv("RERANK_SEARCH_KEY_LOCALHOST", "of the name")
    name = f"{models[0].address}/rerank,http://localhost:{models[1].port}/rerank"
    asked = Replicas(name, api_key=None, timeout=60, retries=0)
    ask(asked, times=2)
    assert models[0].keys == ["Bearer of the address"]
    assert models[1].keys == ["Bearer of the name"]
    asked.close()


def test_threads_share_them_while_servers_come_and_go(replicas, models):
    asked = replicas(retries=3)
    models[1].always = "die"
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: ask(asked), range(60))
        models[2].first += ["die", 503, 500]
        assert all(len(answer) == 2 for answer in answers)


TWO = "http://a/rerank,http://b/rerank"


@pytest.mark.parametrize(
    ("name", "told", "message"),
    [
        ("http://a/rerank,http://A/rerank/", {}, "a URL is given twice .http://a/rerank"),
        ("http://a/x#m,http://b/x#n", {}, r"different models after the # \(m, n\)"),
        ("http://a/x#m,http://b/x", {}, r"different models after the # \(m, none\)"),
        (TWO, {"api_key": "secret"}, r"api_key would be sent to 2 hosts \(a, b\)"),
        (TWO, {"hedge_after": 0}, "hedge_after=0 must be above 0"),
        (TWO, {"hedge_after": math.nan}, "hedge_after=nan is not finite"),
        (TWO, {"hedge_after": "1"}, "hedge_after='1' is not a number"),
        ("http://a/rerank", {"hedge_after": 1}, "hedge_after=1 needs a second server"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(name, told, message):
    with pytest.raises(InvalidInputError, match=message) as raised:
        Replicas(name, **{"api_key": None, "timeout": 1, "retries": 0, **told})
    assert "secret" not in str(raised.value)


def test_offline_all_have_to_be_on_this_machine(monkeypatch):
    asked = Replicas("http://127.0.0.1:9/x,http://b/x", api_key=None, timeout=1, retries=0)
    monkeypatch.setenv("RERANK_SEARCH_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match=r"http://b/x is on another machine"):
        asked.ask({})
