"""Retrieval-augmented generation with LlamaIndex.

Usage: python examples/llama_index_rag.py [QUESTION]
"""

from __future__ import annotations

import sys
from typing import Any

from extractive import answer
from llama_index.core import PromptTemplate
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata
from llama_index.core.query_engine import RetrieverQueryEngine

from rerank_search.plugins.llama_index import RerankSearchRetriever

PROMPT = PromptTemplate(
    "Answer from these sources, and cite them by their numbers:\n\n{context_str}\n\nQUESTION: "
    "{query_str}"
)


class Extractive(CustomLLM):
    """The place of a language model, such as ``OpenAI()``."""

    @property
    def metadata(self) -> LLMMetadata:
        """Its context window and the like."""
        return LLMMetadata(model_name="extractive")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The answer to a prompt."""
        sources, _, question = prompt.rpartition("\n\nQUESTION: ")
        return CompletionResponse(text=answer(question, sources))

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """The answer in one piece."""
        yield self.complete(prompt, formatted, **kwargs)


def main(question: str = "how do I copy a whole folder") -> None:
    """Find sources, pack them into the prompt, and answer."""
    retriever = RerankSearchRetriever(
        index="indexes/python-docs", top_k=5, passages_per_document=2, context_tokens=1_000
    )
    engine = RetrieverQueryEngine.from_args(retriever, llm=Extractive(), text_qa_template=PROMPT)
    response = engine.query(question)
    print(response)
    for number, source in enumerate(response.source_nodes, start=1):
        print(f"  [{number}] {source.node_id}")
    retriever.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
