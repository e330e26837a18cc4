"""An agent that searches and reads by MCP, as Claude or ChatGPT do.

Usage: python examples/mcp_agent.py [QUESTION]
"""

from __future__ import annotations

import asyncio
import json
import sys

from extractive import answer
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

SERVER = StdioServerParameters(
    command=sys.executable, args=["-m", "rerank_search", "mcp", "python-docs"]
)


async def agent(question: str) -> str:
    """Search, read the best documents, answer: what a model would decide to do."""
    async with Client(stdio_client(SERVER)) as client:
        found = await client.call_tool("search", {"query": question})
        results = json.loads(found.content[0].text)["results"]
        context = []
        for number, result in enumerate(results[:3], start=1):
            read = await client.call_tool("fetch", {"id": result["id"]})
            document = json.loads(read.content[0].text)
            context.append(f"[{number}] {document['id']}\n{document['text']}")
    return answer(question, "\n\n".join(context))


def main(question: str = "how do I copy a whole folder") -> None:
    """Run the agent."""
    print(asyncio.run(agent(question)))


if __name__ == "__main__":
    main(*sys.argv[1:])
