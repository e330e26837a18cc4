"""The prompts that a reranker was saved with, and whether a call may replace them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rerank_search.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class RerankerPrompts:
    """The named prompts of a reranker, and the one that it uses by default; empty for none.

    ``takes_instructions`` is True if the model was made to read one beside a pair.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    takes_instructions: bool = False

    def chosen(self, prompt: str | None, prompt_name: str | None) -> str:
        """The prompt of a call of ``predict``, as sentence-transformers chooses it.

        Raises InvalidInputError for an unknown name.
        """
        if prompt is not None:
            return prompt
        if prompt_name is None:
            return self.default
        if prompt_name not in self.named:
            known = ", ".join(map(repr, self.named)) or "none"
            raise InvalidInputError(f"Prompt name {prompt_name!r} not found: the model has {known}")
        return self.named[prompt_name]


def prompts_of(
    named: Mapping[str, str], default: str | None = None, *, takes_instructions: bool | None = None
) -> RerankerPrompts:
    """The prompts of a model by their names, and the name of the one that it uses by default.

    A model that does not say whether it takes instructions does so if it was saved with a prompt.
    """
    if takes_instructions is None:
        takes_instructions = any(named.values())
    return RerankerPrompts(dict(named), named[default] if default else "", takes_instructions)
