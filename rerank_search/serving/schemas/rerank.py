"""The bodies of the rerank APIs: those of Cohere, Jina, vLLM and text-embeddings-inference."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, Tag, model_validator
from pydantic.json_schema import SkipJsonSchema

from rerank_search.serving.schemas.base import (
    Answer,
    Count,
    ForeignRequest,
    InWords,
    Listed,
    OneOrMany,
    one_of,
    tag,
)

_NOT_BLANK: dict[str, Any] = {"pattern": r"\S"}
"""JSON schema of a query; the route itself refuses a blank one, with its own message."""


class ModelAnswer(Answer):
    """A reranker that is served."""

    id: str
    object: Literal["model"] = "model"
    owned_by: Literal["rerank-search"] = "rerank-search"
    max_length: int | None = None
    backend: str | None = None
    dtype: str | None = None


class ModelList(Answer):
    """All rerankers that are served."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer]


class TextBody(BaseModel):
    """A document as an object, as Jina's clients send it; only its text is ranked."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: str


Text = Annotated[str | TextBody, InWords("a string, or an object with the string text")]


class _InstructedRequest(ForeignRequest):
    """A request with an instruction; some clients call it ``instruct``."""

    instruction: str | None = None
    """What makes a text relevant, in words; for models that take an instruction."""
    instruct: SkipJsonSchema[str | None] = None
    """Another name of ``instruction``."""

    @property
    def told(self) -> str | None:
        """The instruction, by either name."""
        return self.instruct if self.instruction is None else self.instruction

    @model_validator(mode="after")
    def _only_one_instruction(self) -> Self:
        if None not in (self.instruction, self.instruct) and self.instruction != self.instruct:
            raise ValueError("instruction and instruct differ: give one of them")
        return self


class _CutRequest(ForeignRequest):
    """A request of vLLM's clients, who may bound the length of a pair."""

    truncate_prompt_tokens: Count | None = Field(default=None, ge=-1)
    """The most tokens of a pair that are read, by cutting its text; -1 is the model's window."""

    @property
    def pair_tokens(self) -> int | None:
        """The bound, or None for that of the model."""
        return None if self.truncate_prompt_tokens == -1 else self.truncate_prompt_tokens


class _ListRequest(ForeignRequest):
    """A request with one list; some clients call it ``documents``, others ``texts``."""

    # The other name is not just unsupported: it deserves the message below.
    without_effect: ClassVar = ForeignRequest.without_effect | {"documents", "texts"}

    @model_validator(mode="before")
    @classmethod
    def _only_one_list(cls, data: Any) -> Any:
        names = ("documents", "texts")
        if isinstance(data, dict) and all(data.get(name) is not None for name in names):
            raise ValueError("give one of documents and texts")
        return data


class RerankRequest(_InstructedRequest, _CutRequest, _ListRequest):
    """What the clients of Cohere, Jina and vLLM send."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": "how is bread made",
                    "documents": ["Flour and water, baked.", "A film about trains."],
                    "top_n": 1,
                }
            ]
        }
    )

    model: str | None = None
    query: str = Field(json_schema_extra=_NOT_BLANK)
    documents: Listed[Text]
    top_n: Count | None = Field(default=None, ge=0)
    """Number of results; null and 0 return all."""
    return_documents: StrictBool = False
    long_documents: Literal["truncate", "max_passage"] = "truncate"
    """Ours: cut texts above the model's window, or read all of them window by window."""
    max_tokens_per_doc: Count | None = Field(default=None, ge=1)
    """Cohere's: the most tokens of a document that are read."""


class TeiRequest(_ListRequest):
    """What the clients of text-embeddings-inference send."""

    query: str = Field(json_schema_extra=_NOT_BLANK)
    texts: Listed[str]
    truncate: StrictBool | None = None
    """Whether texts may be cut; false makes a text above the model's window an error."""
    raw_scores: StrictBool = False
    return_text: StrictBool = False
    model: SkipJsonSchema[str | None] = None
    truncation_direction: SkipJsonSchema[Literal["Right", "right"] | None] = None
    """Where texts are cut: only their ends can be."""


def is_tei(body: Any) -> bool:
    """Whether the body of ``/rerank`` is a request of text-embeddings-inference.

    Its list is called ``texts``.
    """
    if not isinstance(body, dict) or "texts" not in body:
        return False
    return body["texts"] is not None or body.get("documents") is None


AnyRerankRequest = Annotated[
    Annotated[RerankRequest, Tag(tag("rerank"))] | Annotated[TeiRequest, Tag(tag("tei"))],
    Discriminator(lambda body: tag("tei" if is_tei(body) else "rerank")),
]
"""A body of ``/rerank``, which serves both APIs."""


SIDES = (
    ("text_1", "text_2"),
    ("queries", "documents"),
    ("queries", "items"),
    ("data_1", "data_2"),
)
"""Names of the two lists of texts in vLLM's requests, today's and earlier ones."""


class ScoreRequest(_InstructedRequest, _CutRequest):
    """What vLLM's clients send: one text with one or many, or two lists of the same length."""

    model_config = ConfigDict(
        json_schema_extra={
            **one_of(*SIDES),
            "examples": [
                {"text_1": "how is bread made", "text_2": ["Flour and water, baked.", "Trains."]}
            ],
        }
    )

    model: str | None = None
    text_1: OneOrMany | None = None
    text_2: OneOrMany | None = None
    queries: OneOrMany | None = None
    documents: OneOrMany | None = None
    items: OneOrMany | None = None
    data_1: OneOrMany | None = None
    data_2: OneOrMany | None = None

    @property
    def sides(self) -> tuple[list[str], list[str]]:
        """The texts of the two sides, by whichever names they have."""
        one, other = (self._texts(name) for name in self._given()[0])
        return one, other

    def _texts(self, name: str) -> list[str]:
        given: str | list[str] = getattr(self, name)
        return [given] if isinstance(given, str) else given

    def _given(self) -> list[tuple[str, str]]:
        """The pairs of names of which both are given."""
        return [names for names in SIDES if all(getattr(self, name) is not None for name in names)]

    @model_validator(mode="after")
    def _one_pair_of_fields(self) -> ScoreRequest:
        every = {name for names in SIDES for name in names}
        count = sum(getattr(self, name) is not None for name in every)
        if len(self._given()) != 1 or count != 2:
            pairs = ", or ".join(f"{one} and {other}" for one, other in SIDES)
            raise ValueError(f"give {pairs}")
        return self


class RerankedDocument(Answer):
    """The text of a result."""

    text: str


class RerankResult(Answer):
    """A document by its place in the request; the score is in [0, 1]."""

    index: int
    relevance_score: float
    document: RerankedDocument | None = None


class RerankAnswer(Answer):
    """Results by score, as Cohere's, Jina's and vLLM's clients read them."""

    id: str
    model: str
    results: list[RerankResult]
    meta: dict[str, Any]
    usage: dict[str, int]


class TeiResult(Answer):
    """A text by its place in the request."""

    index: int
    score: float
    text: str | None = None


class ScoreResult(Answer):
    """The score of a pair by its place."""

    index: int
    object: Literal["score"] = "score"
    score: float


class ScoreAnswer(Answer):
    """Scores in the order of the pairs."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[ScoreResult]
    usage: dict[str, int]
