"""The version of the analyzers that an index was made with."""

from __future__ import annotations

from pathlib import Path

from rerank_search.errors import IndexFormatError
from rerank_search.retrieval.state import StateFile

ANALYSIS = 3
"""The newest version of the analyzers. A new index records the version that its own has.

Version 1 cut words at every mark and kept accents that tantivy does not know; 2 is ``folding``; 3
is of the analyzers ``code`` and ``auto`` alone.
"""


def recorded_analysis(directory: Path) -> int:
    """The version that the postings in ``directory`` were made with.

    Raises IndexFormatError for postings of a newer version of this package, IndexCorruptedError.
    """
    version = StateFile(directory).read().get("analysis", 1)
    if not isinstance(version, int) or not 1 <= version <= ANALYSIS:
        raise IndexFormatError(
            f"the words in {directory} were made by version {version!r} of the text analysis, and "
            f"this version of rerank-search knows versions up to {ANALYSIS}: upgrade it with `pip "
            "install -U rerank-search`"
        )
    return version
