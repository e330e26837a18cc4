"""Retrieval-augmented generation with LangChain.

Usage: python examples/langchain_rag.py [QUESTION]
"""

from __future__ import annotations

import sys

from extractive import answer
from langchain_core.documents import Document
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from rerank_search.plugins.langchain import RerankSearchRetriever

PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Answer from these sources, and cite them by their numbers:\n\n{context}"),
        ("human", "{question}"),
    ]
)


def numbered(documents: list[Document]) -> str:
    """The sources with numbers."""
    return "\n\n".join(
        f"[{number}] {document.id}\n{document.page_content}"
        for number, document in enumerate(documents, start=1)
    )


def model(prompt: PromptValue) -> str:
    """The place of a chat model, such as ``ChatOpenAI()``."""
    sources, question = (str(message.content) for message in prompt.to_messages())
    return answer(question, sources)


def main(question: str = "how do I copy a whole folder") -> None:
    """Find sources and answer, as one chain."""
    retriever = RerankSearchRetriever(index="indexes/python-docs", k=5, text="passage")
    sources = retriever | RunnableLambda(numbered)
    chain = {"context": sources, "question": RunnablePassthrough()} | PROMPT | RunnableLambda(model)
    print(chain.invoke(question))
    retriever.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
