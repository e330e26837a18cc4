"""The log of a server, with a line of JSON for each record."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from typing import TextIO

FIELDS = "fields"
"""The attribute of a log record whose values go into its line, in place of the message."""


class JsonFormatter(logging.Formatter):
    """Time, level and logger, then the record's own fields, or its message and exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of JSON for a record."""
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
    """Log requests, warnings of all libraries, and exceptions that end threads to a stream."""
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
