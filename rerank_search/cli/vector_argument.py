"""The vector of a query in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rerank_search.errors import InvalidInputError


def vector_in(file: Path) -> Any:
    """The content of a file of JSON, which the search checks. Raises InvalidInputError."""
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{file} is not JSON ({error}): write the vector as a list, such as [0.1, 0.2]"
        ) from error
