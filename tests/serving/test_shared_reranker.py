from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest

from rerank_search import CrossEncoderReranker, InvalidInputError, RerankError
from rerank_search.reranking.base import Scores
from rerank_search.reranking.cascade import Cascade
from rerank_search.serving.errors import OverloadedError
from rerank_search.serving.rounds import ROUND_COST
from rerank_search.serving.shared_reranker import SharedReranker
from tests.waiting import until

PAIRS = [(f"find file {i}", f"read a line of file {i % 7} with bread") for i in range(60)]


class Slow:
    """A reranker that waits for permission, and records its pairs."""

    name = "slow"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.leave = threading.Semaphore(0)
        self.calls: list[list[tuple[str, str]]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        self.calls.append(list(pairs))
        while not self.gate.wait(0.001) and not self.leave.acquire(blocking=False):
            pass
        if any(text == "bad" for _, text in pairs):
            raise OSError("no connection")
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


def blocked(slow: Slow, **options) -> SharedReranker:
    """A shared reranker that is busy with one pair, so the next requests wait."""
    shared = SharedReranker(slow, **options)
    shared.submit([("q", "first")])
    until(lambda: slow.calls)
    return shared


def test_scores_are_those_of_the_reranker(reranker: CrossEncoderReranker):
    shared = SharedReranker(reranker, round_cost=1_000)
    try:
        with ThreadPoolExecutor(8) as pool:
            parts = [PAIRS[i : i + 7] for i in range(0, len(PAIRS), 7)]
            found = list(pool.map(shared.score_with_report, parts))
    finally:
        shared.close()
    alone = reranker.score_with_report(PAIRS)
    assert np.concatenate([part.values for part in found]) == pytest.approx(alone.values, abs=1e-5)
    truncated = np.concatenate([part.truncated for part in found])
    assert truncated.tolist() == alone.truncated.tolist()


def test_requests_that_wait_share_what_is_scored_at_once():
    slow = Slow()
    shared = blocked(slow)
    waiting = [shared.submit([("q", "x" * n)]) for n in (3, 4, 5)]
    slow.gate.set()
    assert [future.result(30).values.tolist() for future in waiting] == [[3], [4], [5]]
    assert [len(call) for call in slow.calls] == [1, 3]
    shared.close()


def test_without_sharing_each_request_is_scored_by_itself():
    slow = Slow()
    shared = blocked(slow, shared=False)
    waiting = [shared.submit([("q", "x" * n)]) for n in (3, 4, 5)]
    slow.gate.set()
    assert [future.result(30).values.tolist() for future in waiting] == [[3], [4], [5]]
    assert [len(call) for call in slow.calls] == [1, 1, 1, 1]
    shared.close()


def test_a_short_request_does_not_wait_for_the_end_of_a_long_one():
    slow = Slow()
    shared = blocked(slow)
    ended: list[str] = []
    long = shared.submit([("q", "x" * 2000)] * 200)
    short = shared.submit([("q", "short")])
    long.add_done_callback(lambda _: ended.append("long"))
    short.add_done_callback(lambda _: ended.append("short"))
    slow.gate.set()
    assert len(long.result(30).values) == 200
    assert short.result(30).values.tolist() == [5]
    assert ended == ["short", "long"]
    # The first round after the one that was running already has the short one.
    assert ("q", "short") in slow.calls[1]
    shared.close()


def test_no_round_is_much_larger_than_it_may_be():
    slow = Slow()
    shared = blocked(slow)
    future = shared.submit([("q", "x" * 1999)] * 200)
    slow.gate.set()
    future.result(30)
    assert max(len(call) for call in slow.calls) <= ROUND_COST / 2000 + 1
    assert sum(len(call) for call in slow.calls[1:]) == 200
    shared.close()


def test_what_is_cancelled_is_not_scored():
    slow = Slow()
    shared = blocked(slow)
    gone = shared.submit([("q", "gone")])
    stays = shared.submit([("q", "stays")])
    assert shared.waiting == 2
    assert gone.cancel()
    assert shared.waiting == 1
    slow.gate.set()
    stays.result(30)
    assert [text for call in slow.calls for _, text in call] == ["first", "stays"]
    with pytest.raises(CancelledError):
        gone.result()
    shared.close()


def test_the_rest_of_a_long_request_is_not_scored_once_it_is_cancelled():
    slow = Slow()
    shared = blocked(slow)
    long = shared.submit([("q", "x" * 2000)] * 500)
    slow.leave.release()
    until(lambda: len(slow.calls) == 2)
    long.cancel()
    slow.gate.set()
    shared.close()
    assert len(slow.calls) == 2
    assert len(slow.calls[1]) < 100


def test_a_request_that_fails_does_not_take_others_with_it():
    slow = Slow()
    shared = blocked(slow)
    bad = shared.submit([("q", "bad")])
    good = shared.submit([("q", "good")])
    slow.gate.set()
    assert good.result(30).values.tolist() == [4]
    with pytest.raises(RerankError, match=r"failed \(OSError\)"):
        bad.result(30)
    assert shared.score([("q", "next")]).tolist() == [4]
    shared.close()


def test_a_full_queue_refuses_and_says_when_to_come_again():
    slow = Slow()
    shared = blocked(slow, max_waiting=10)
    shared.submit([("q", "a")] * 9)
    with pytest.raises(OverloadedError, match="9 pairs wait") as caught:
        shared.submit([("q", "b")] * 2)
    assert int(caught.value.headers["Retry-After"]) >= 1
    shared.check_room(1)
    with pytest.raises(OverloadedError):
        shared.check_room(2)
    slow.gate.set()
    shared.close()


def test_one_request_above_the_limit_is_taken_where_nothing_waits():
    slow = Slow()
    slow.gate.set()
    shared = SharedReranker(slow, max_waiting=10)
    assert len(shared.score([("q", "a")] * 50)) == 50
    shared.close()


def test_closing_finishes_what_waits_and_refuses_what_comes():
    slow = Slow()
    shared = blocked(slow)
    waiting = shared.submit([("q", "waits")])
    closing = threading.Thread(target=shared.close)
    closing.start()
    slow.gate.set()
    closing.join(30)
    assert waiting.result(0).values.tolist() == [5]
    with pytest.raises(OverloadedError, match="closing"):
        shared.submit([("q", "late")])


def test_no_pairs_need_no_turn():
    slow = Slow()
    shared = blocked(slow)
    assert len(shared.submit([]).result(0).values) == 0
    slow.gate.set()
    shared.close()


def test_a_cascade_sees_the_whole_list_of_a_request(reranker: CrossEncoderReranker):
    cascade = Cascade([reranker, reranker], keep=[5])
    pairs = [("find file", text) for _, text in PAIRS]
    shared = SharedReranker(cascade, round_cost=500)
    assert shared.score(pairs) == pytest.approx(cascade.score(pairs), abs=1e-5)
    shared.close()


def test_windows_and_cuts_are_not_mixed_in_a_round(reranker: CrossEncoderReranker):
    text = "bread " * 200
    shared = SharedReranker(reranker)
    cut = shared.submit([("q", text)])
    read = shared.submit([("q", text)], long_documents="max_passage")
    assert cut.result(30).spans == [None]
    assert read.result(30).spans != [None]
    shared.close()


def test_two_instructions_are_not_mixed_in_a_round():
    class Told(Slow):
        takes_instructions = True

        def score(self, pairs: Sequence[tuple[str, str]], *, instruction: str | None = None):
            self.told = [*getattr(self, "told", []), instruction]
            return super().score(pairs) + len(instruction or "")

    told = Told()
    shared = blocked(told)
    asked = [None, "claims", "facts", "claims", None]
    futures = [shared.submit([("q", "text")], instruction=each) for each in asked]
    told.gate.set()
    found = [future.result(30).values.tolist() for future in futures]
    assert found == [[4.0], [10.0], [9.0], [10.0], [4.0]]
    assert told.told == [None, None, "claims", "facts"]  # the first of them blocked
    shared.close()


@pytest.mark.parametrize(
    ("instruction", "named"),
    [("facts", "the reranker 'mine' takes no instruction"), (" ", "instruction=' ' is blank")],
)
def test_an_instruction_that_cannot_be_used_is_refused_at_once(instruction: str, named: str):
    shared = SharedReranker(Slow(), name="mine")
    with pytest.raises(InvalidInputError, match=named):
        shared.submit([("q", "text")], instruction=instruction)
    shared.close()


def test_the_thread_outlives_whatever_a_reranker_does():
    class Wild(Slow):
        def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
            if pairs[0][1] == "exit":
                raise SystemExit("gone")
            return super().score(pairs)

    wild = Wild()
    wild.gate.set()
    shared = SharedReranker(wild)
    with pytest.raises(RerankError, match=r"failed \(SystemExit\)"):
        shared.score([("q", "exit")])
    assert shared.score([("q", "next")]).tolist() == [4]
    shared.close()


def test_texts_that_are_read_whole_take_their_turns():
    slow = Slow()
    slow.score_with_report = lambda pairs, *, long_documents: Scores(  # type: ignore[attr-defined]
        slow.score(pairs), np.zeros(len(pairs), bool), [None] * len(pairs)
    )
    shared = blocked(slow)
    whole = shared.submit([("q", "x" * 50_000)] * 6, long_documents="max_passage")
    slow.gate.set()
    assert len(whole.result(30).values) == 6
    assert [len(call) for call in slow.calls] == [1, 2, 2, 2]
    shared.close()
