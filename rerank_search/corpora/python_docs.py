"""The corpus of the demo: the documentation strings of the running interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rerank_search.errors import RerankSearchError
from rerank_search.types import Document

_HARVEST = Path(__file__).with_name("docstrings.py")


def python_docs() -> Iterator[Document]:
    """Every documented public name of the standard library, about 5,800 in Python 3.11.

    The names are modules, classes, functions, methods and properties with their own docstring, and
    the topics of ``help()``; each docstring comes once, in a fixed order. ``id`` is the qualified
    name, ``title`` the signature or the first line, ``metadata`` has ``module`` and ``kind``
    (module, class, function, method, property, topic).

    The modules are imported by a second interpreter without site packages, never in this
    process. Raises RerankSearchError if that interpreter fails.
    """
    command = [sys.executable, "-I", "-S", "-W", "ignore", str(_HARVEST)]
    harvest = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if harvest.returncode != 0:
        reason = harvest.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise RerankSearchError(
            f"the docstrings of {sys.executable} cannot be read ({reason}): run "
            f"`{' '.join(command)}` to see why"
        )
    for line in harvest.stdout.splitlines():
        yield Document(**json.loads(line))
