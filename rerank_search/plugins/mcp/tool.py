"""A tool whose errors say what to do: for the model that called it, and in our words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import ToolAnnotations
from pydantic import ConfigDict, ValidationError

from rerank_search.declared import did_you_mean
from rerank_search.errors import RerankSearchError
from rerank_search.serving.errors import reported
from rerank_search.shown import reason, shown

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)
"""What writes twice does the same as once; it may replace or remove documents."""


class OwnTool(Tool):
    """A tool that refuses unknown arguments, and tells errors of ours as they are."""

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        """Run the tool. Null is the same as no argument. Raises ToolError."""
        arguments = {name: value for name, value in arguments.items() if value is not None}
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(error, UnexpectedToolError):
                if isinstance(cause, RerankSearchError):
                    raise ToolError(str(reported(cause, self.name))) from error
            elif isinstance(cause, ValidationError):
                raise ToolError(self._said(cause)) from cause
            raise

    def _said(self, error: ValidationError) -> str:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        known = list(self.parameters["properties"])
        if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
            has = f"which has {', '.join(known)}" if known else "which has none"
            return (
                f"{shown(where)} is not an argument of {self.name}, {has}"
                f"{did_you_mean(where, known)}"
            )
        return f"{where}: {reason(problem)}"


def own_tool(function: Callable[..., Any], title: str, annotations: ToolAnnotations) -> OwnTool:
    """The function as a tool of its name.

    Models read its docstring, and its annotations are the schemas.
    """
    tool = OwnTool.from_function(
        function,
        title=title,
        description=" ".join((function.__doc__ or "").split()),
        annotations=annotations,
    )
    given: Any = tool.fn_metadata.arg_model

    class Arguments(given):  # type: ignore[misc]
        model_config = ConfigDict(extra="forbid")

    tool.fn_metadata.arg_model = Arguments
    tool.parameters = Arguments.model_json_schema(by_alias=True)
    return cast(OwnTool, tool)  # from_function makes the class that it is called on
