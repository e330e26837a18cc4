"""The log of a server: a line of JSON for each record."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from typing import TextIO

FIELDS = "fields"
"""The attribute of a record that has more to say than a message."""


class JsonFormatter(logging.Formatter):
    """Time, level and logger, then the record's own fields, or its message and exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            **getattr(record, FIELDS, {"message": record.getMessage()}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to(stream: TextIO) -> None:
    """Send the warnings of all libraries there, what ends threads, and the requests of the API."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("rerank_search.serving").setLevel(logging.INFO)
    logging.captureWarnings(True)
    threading.excepthook = _log_end


def _log_end(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "?"
    logging.getLogger(__name__).error("the thread %s ended", name, exc_info=ended.exc_value)
