"""Words for BM25: the analyzers, which turn texts and queries into terms."""

from rerank_search.retrieval.analysis.analyzer import LONGEST_TERM, Analyzer, QueryTerms
from rerank_search.retrieval.analysis.known import check_known, known
from rerank_search.retrieval.analysis.name import AnalyzerName, analyzer_name
from rerank_search.retrieval.analysis.stop_words import StopWords, checked_stop_words
from rerank_search.retrieval.analysis.terms import analyzer
from rerank_search.retrieval.analysis.version import ANALYSIS, recorded_analysis
from rerank_search.retrieval.analysis.words import Words, terms

__all__ = [
    "ANALYSIS",
    "LONGEST_TERM",
    "Analyzer",
    "AnalyzerName",
    "QueryTerms",
    "StopWords",
    "Words",
    "analyzer",
    "analyzer_name",
    "check_known",
    "checked_stop_words",
    "known",
    "recorded_analysis",
    "terms",
]
