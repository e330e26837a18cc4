from __future__ import annotations

import pytest

from rerank_search.serving.errors import ApiError
from rerank_search.serving.limits import Limits
from rerank_search.serving.rate import RateLimiter

RERANK = {"query": "a file", "documents": ["read a file", "a river"]}


def test_a_bucket_fills_again():
    now = [0.0]
    limiter = RateLimiter(60, clock=lambda: now[0])
    for _ in range(60):
        limiter.check("a")
    with pytest.raises(ApiError, match="try again in 1 s") as caught:
        limiter.check("a")
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "1")
    limiter.check("b")
    now[0] = 1.0
    limiter.check("a")
    with pytest.raises(ApiError):
        limiter.check("a")
    now[0] = 1_000.0
    for _ in range(60):
        limiter.check("a")


def test_callers_that_are_gone_are_forgotten():
    now = [0.0]
    limiter = RateLimiter(1, clock=lambda: now[0])
    for caller in range(10_000):
        limiter.check(str(caller))
    now[0] = 100.0
    limiter.check("new")
    assert limiter.callers == 1


def test_the_rate_of_a_caller_is_limited(serve):
    with serve(limits=Limits(requests_per_minute=3)) as server:
        answers = [server.post("/v2/rerank", RERANK) for _ in range(4)]
        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["error"]["type"] == "rate_limited"
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert server.client.get("/health/live").status_code == 200
