from __future__ import annotations

import io
import json
import logging
import threading
import warnings

import pytest

from rerank_search.serving.log import JsonFormatter, log_to
from tests.waiting import until


def test_the_log_has_a_line_of_json_a_request_and_no_texts(server, caplog):
    caplog.set_level(logging.INFO, logger="rerank_search.serving")
    server.post("/v2/rerank", {"query": "secret words", "documents": ["hidden words"]})
    server.post("/v1/search", {"query": "secret words"}, **{"x-request-id": "mine"})
    until(lambda: len(caplog.records) >= 2)
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert [line["path"] for line in lines] == ["/v2/rerank", "/v1/search"]
    assert lines[1]["request_id"] == "mine"
    assert all(line["status"] == 200 and line["ms"] > 0 for line in lines)
    assert "words" not in str(lines)


@pytest.mark.filterwarnings("default")
def test_an_exception_is_one_line_of_the_log():
    log = io.StringIO()
    before = logging.getLogger().handlers, logging.getLogger().level
    own = logging.getLogger("rerank_search.serving")
    level, hook = own.level, threading.excepthook
    try:
        log_to(log)
        try:
            raise ValueError("of two\nlines")
        except ValueError:
            logging.getLogger("some.library").exception("it failed")
        logging.getLogger("some.library").info("not for a log")
        warnings.warn("take care", UserWarning, stacklevel=1)
        ending = threading.Thread(target=lambda: 1 / 0)
        ending.start()
        ending.join()
    finally:
        logging.captureWarnings(False)
        threading.excepthook = hook
        logging.getLogger().handlers, logging.getLogger().level = before
        own.setLevel(level)
    said, warned, ended = map(json.loads, log.getvalue().splitlines())
    assert "take care" in warned["message"]
    assert "ZeroDivisionError" in ended["exception"]
    assert (said["level"], said["logger"]) == ("ERROR", "some.library")
    assert said["message"] == "it failed"
    assert said["exception"].endswith("ValueError: of two\nlines")
