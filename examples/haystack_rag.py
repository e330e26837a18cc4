"""Retrieval-augmented generation with Haystack.

Usage: python examples/haystack_rag.py [QUESTION]

HAYSTACK_TELEMETRY_ENABLED=False keeps Haystack from sending usage data to its makers.
"""

from __future__ import annotations

import sys

from extractive import answer
from haystack import Pipeline, component
from haystack.components.builders import PromptBuilder

from haystack_integrations.components.retrievers.rerank_search import RerankSearchRetriever

SOURCES = """{% for document in documents %}[{{ loop.index }}] {{ document.id }}
{{ document.content }}

{% endfor %}"""


@component
class Model:
    """The place of a generator, such as ``OpenAIChatGenerator()``."""

    @component.output_types(answer=str)
    def run(self, question: str, prompt: str) -> dict[str, str]:
        """The answer from the sources in the prompt."""
        return {"answer": answer(question, prompt)}


def main(question: str = "how do I copy a whole folder") -> None:
    """Find sources and answer, as one pipeline."""
    pipeline = Pipeline()
    pipeline.add_component(
        "retriever", RerankSearchRetriever(index="indexes/python-docs", top_k=5, text="passage")
    )
    pipeline.add_component("prompt", PromptBuilder(SOURCES, required_variables=["documents"]))
    pipeline.add_component("model", Model())
    pipeline.connect("retriever.documents", "prompt.documents")
    pipeline.connect("prompt.prompt", "model.prompt")
    done = pipeline.run({"retriever": {"query": question}, "model": {"question": question}})
    print(done["model"]["answer"])
    pipeline.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
