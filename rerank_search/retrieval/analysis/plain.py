"""Words without accents: the analyzers ``plain`` and ``english``."""

from __future__ import annotations

from rerank_search.retrieval.analysis.analyzer import Analyzer

PLAIN = Analyzer("plain")
"""Runs of letters and digits, in lower case, without accents."""

ENGLISH = Analyzer("english", stemmer="english")
"""The words of ``plain``, stemmed."""
