from __future__ import annotations

import time

import pytest

from rerank_search.stopwatch import Stopwatch


def work() -> float:
    """The milliseconds that some work took."""
    started = time.perf_counter()
    sum(range(50_000))
    return (time.perf_counter() - started) * 1000


def test_each_stage_has_the_time_since_the_stage_before() -> None:
    watch = Stopwatch()
    first = work()
    watch.lap("first_stage")
    second = work()
    watch.lap("rerank")
    laps = watch.with_total()
    assert list(laps) == ["first_stage", "rerank", "total"]
    assert laps["first_stage"] >= first
    assert laps["rerank"] >= second
    assert laps["total"] >= laps["first_stage"] + laps["rerank"]


def test_time_that_is_skipped_belongs_to_no_stage() -> None:
    started = time.perf_counter()
    watch = Stopwatch()
    left_out = work()
    watch.skip()
    watch.lap("rerank")
    laps = watch.with_total()
    whole = (time.perf_counter() - started) * 1000
    assert laps["rerank"] <= laps["total"] <= whole - left_out


def test_queries_that_share_a_stage_have_equal_parts_of_its_time() -> None:
    watch = Stopwatch({"first_stage": 10.0}).share(4)
    worked = work()
    watch.lap("rerank")
    laps = watch.with_total()
    assert laps["first_stage"] == 2.5
    assert laps["total"] >= 2.5 + worked
    assert watch.elapsed() >= laps["total"]


def test_a_share_does_not_change_the_watch_it_comes_from() -> None:
    watch = Stopwatch({"first_stage": 10.0})
    watch.share(2).lap("rerank")
    assert list(watch.with_total()) == ["first_stage", "total"]
    assert watch.with_total()["first_stage"] == pytest.approx(10.0)
