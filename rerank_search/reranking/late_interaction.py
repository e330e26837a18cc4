"""Late interaction: a reranker that compares the vectors of all tokens of query and text."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import model_name, one_of, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.models.kinds import check_not
from rerank_search.models.length_batches import batches_by_length
from rerank_search.models.registry import resolve_reranker
from rerank_search.models.saved import kind_of
from rerank_search.models.sentence_model import SentenceModel
from rerank_search.remembered import Remembered, key_of
from rerank_search.reranking.base import LongDocuments, Scores
from rerank_search.reranking.calibration import Calibrations
from rerank_search.reranking.fusion import Fusion
from rerank_search.reranking.pairs import WINDOW_OVERLAP, checked_pairs
from rerank_search.reranking.token_vectors import FOLDER, StoredDtype, TokenVectors
from rerank_search.settings import Settings
from rerank_search.storage.passages import SPECIAL_TOKENS, Splitter
from rerank_search.types import Span

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

CPU_BATCH_TOKENS, BATCH_TOKENS = 4_096, 32_768
"""Tokens of a batch, padding included, on a CPU and elsewhere."""

TEXTS_REMEMBERED = 4_096
"""Number of texts whose length in tokens is remembered."""

TEXTS_AT_ONCE = 256
"""Texts whose token vectors are in memory together: about 25 MB."""

QUERIES_REMEMBERED = 64
"""Number of queries whose token vectors are kept in memory."""

MEGABYTE = 1_000_000


class MultiVectorReranker(SentenceModel["MultiVectorEncoder"]):
    """Scores (query, text) pairs by MaxSim of their token vectors, as ColBERT does.

    ``model`` is a folder or hub id (``revision`` pins it) of a ``MultiVectorEncoder`` of
    sentence-transformers, which also reads models of PyLate and of Stanford's ColBERT. Its prompts,
    prefix tokens, query expansion and list of skipped tokens are used as its makers' code has them;
    ``query_prompt`` and ``document_prompt`` replace its prompts. The model is loaded on first use.

    Texts do not depend on the query, so their token vectors are kept on disk, in the cache folder.
    All models together keep ``cache_mb`` million bytes; None takes RERANK_SEARCH_TOKEN_VECTORS_MB
    (2,000), and 0 keeps none. ``cache_dtype="float16"`` halves the files and rounds the vectors.
    A text above the window loses its end; a report says which texts were cut. Threads may share
    one.

        >>> reranker = MultiVectorReranker("lightonai/GTE-ModernColBERT-v1")
        >>> cascade = Cascade([reranker, "rerank-search-base"], keep=[30])

    Raises ModelNotFoundError for a missing model, and InvalidInputError for a model of another kind
    and one that needs code of its own; on first use, InvalidInputError for an invalid device.
    """

    _kind = "reranker"

    def __init__(
        self,
        model: str | Path,
        *,
        device: str | None = None,
        revision: str | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        cache_mb: int | None = None,
        cache_dtype: StoredDtype = "float32",
    ) -> None:
        super().__init__(
            model_name("model", model),
            revision=revision,
            device=device,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
        )
        one_of("cache_dtype", cache_dtype, get_args(StoredDtype))
        if cache_mb is not None:
            whole_number("cache_mb", cache_mb, least=0)
        self._cache_mb, self._cache_dtype = cache_mb, cache_dtype
        folder = Path(self._directory())
        check_not("reranker", self.name, folder, ("encoder", "sparse", "reranker"))
        if kind_of(folder) != "multi-vector":
            raise InvalidInputError(
                f"the reranker {self.name!r} is not a MultiVectorEncoder of sentence-transformers: "
                "use CrossEncoderReranker if it scores pairs, or another model"
            )
        self.fusion = Fusion.beside(folder)
        self.calibration = Calibrations.beside(folder)
        made_with = "\n".join([*self.identity(), cache_dtype])
        self.fingerprint = hashlib.sha256(made_with.encode()).hexdigest()[:32]
        settings = Settings()
        most = settings.token_vectors_mb if cache_mb is None else cache_mb
        self._texts = TokenVectors(
            settings.cache / FOLDER / self.fingerprint, most=most * MEGABYTE, dtype=cache_dtype
        )
        self._queries: Remembered[str, NDArray[np.float32]] = Remembered(QUERIES_REMEMBERED)
        self._windows: Remembered[bytes, Sequence[Span | None]] = Remembered(TEXTS_REMEMBERED)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name and the settings: the copy loads the model on first use."""
        made, name = super().__reduce__()
        made.keywords.update(cache_mb=self._cache_mb, cache_dtype=self._cache_dtype)
        return made, name

    def __repr__(self) -> str:
        return f"MultiVectorReranker({self.name!r})"

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """The MaxSim of each pair, shape (n,), float32; MeanMaxSim for a model trained with it."""
        return self._scored(checked_pairs(pairs))

    def score_with_report(
        self, pairs: Sequence[tuple[str, str]], *, long_documents: LongDocuments = "truncate"
    ) -> Scores:
        """The scores, and which texts were cut, unless the tokenizer is one written in Python.

        ``max_passage`` reads a text above the window in passages that fit it, which overlap by a
        quarter, and gives the best one's score and span. Raises InvalidInputError for it with such
        a tokenizer, which does not give the positions of tokens.
        """
        one_of("long_documents", long_documents, get_args(LongDocuments))
        pairs = checked_pairs(pairs)
        known = self._windows_of({text for _, text in pairs})
        windows = [known[text] for _, text in pairs]
        if long_documents == "truncate":
            cut = np.array([len(own) > 1 for own in windows], np.bool_)
            return Scores(self._scored(pairs), cut, [None] * len(pairs))
        self.token_offsets("")  # an error without them
        parts = [
            (query, text if span is None else text[slice(*span)])
            for (query, text), own in zip(pairs, windows, strict=True)
            for span in own
        ]
        values = iter(self._scored(parts).tolist())
        best = [max((next(values), -place) for place in range(len(own))) for own in windows]
        spans = [own[-place] for (_, place), own in zip(best, windows, strict=True)]
        scores = np.array([value for value, _ in best], np.float32)
        return Scores(scores, np.zeros(len(pairs), np.bool_), spans)

    def _scored(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        scores = np.zeros(len(pairs), np.float32)
        queries = self._query_vectors(list(dict.fromkeys(query for query, _ in pairs)))
        places: dict[str, list[int]] = {}
        for place, (_, text) in enumerate(pairs):
            places.setdefault(text, []).append(place)
        texts = sorted(places, key=len)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = texts[start : start + TEXTS_AT_ONCE]
            vectors = self._text_vectors(some)
            wanted = [(place, i) for i, text in enumerate(some) for place in places[text]]
            by_query: dict[str, list[tuple[int, int]]] = {}
            for place, i in wanted:
                by_query.setdefault(pairs[place][0], []).append((place, i))
            for query, found in by_query.items():
                scores[[place for place, _ in found]] = self._similarity(
                    queries[query], [vectors[i] for _, i in found]
                )
        return scores

    def _windows_of(self, texts: Collection[str]) -> dict[str, Sequence[Span | None]]:
        """The passages of each text that the model reads at once; one None for a text that fits."""
        keys = {text: key_of(text) for text in texts}
        known = self._windows.known(keys.values())
        # The model is only loaded if there are texts that are not known.
        found = {
            key: self._splitter.split("", text).spans or [None]
            for text, key in keys.items()
            if key not in known
        }
        self._windows.remember(found)
        return {text: (known | found)[key] for text, key in keys.items()}

    @cached_property
    def _splitter(self) -> Splitter:
        window = self.window
        tokenizer = getattr(self._document_module, "tokenizer", None)
        if window is None or not getattr(tokenizer, "is_fast", False):
            return Splitter(lambda _: [], tokens=sys.maxsize, overlap=0)
        # The model may read less of a document than its window: ask for the most, and for one word.
        most, one = (
            self._length(self.prompts.document + "a " * words) for words in (window + 1, 1)
        )
        prompt = len(self.token_offsets(self.prompts.document))
        special = one - len(self.token_offsets(self.prompts.document + "a "))
        room = max(most - special - prompt, 1)
        tokens = room + SPECIAL_TOKENS  # as many as a splitter leaves room for
        return Splitter(self.token_offsets, tokens=tokens, overlap=int(room * WINDOW_OVERLAP))

    def _length(self, text: str) -> int:
        """The number of tokens that the model reads of a document with its prompt."""
        with self._lock:
            return int(self._model.preprocess([text], task="document")["input_ids"].shape[1])

    def _similarity(
        self, query: NDArray[np.float32], texts: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        similarity: NDArray[np.float32] = self._model.similarity([query], list(texts))[0].numpy()
        return similarity

    def _query_vectors(self, queries: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        known = self._queries.known(queries)
        # Each alone, so that its expansion does not depend on the length of others.
        fresh = {each: self._encoded([each], "query")[0] for each in queries if each not in known}
        self._queries.remember(fresh)
        return known | fresh

    def _text_vectors(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        found = [self._texts.get(text) for text in texts]
        missing = [i for i, vectors in enumerate(found) if vectors is None]
        lengths = [len(texts[i]) for i in missing]
        if missing:
            budget = CPU_BATCH_TOKENS if self._model.device.type == "cpu" else BATCH_TOKENS
            for batch in batches_by_length(lengths, budget, window=self.window):
                own = [missing[place] for place in batch]
                made = self._encoded([texts[i] for i in own], "document")
                for i, vectors in zip(own, made, strict=True):
                    self._texts.put(texts[i], vectors)
                    # As they are read again, so that a score is the same each time.
                    found[i] = vectors.astype(self._cache_dtype).astype(np.float32)
        return [vectors for vectors in found if vectors is not None]

    def _encoded(self, texts: list[str], task: str) -> list[NDArray[np.float32]]:
        model = self._model
        encode = model.encode_query if task == "query" else model.encode_document
        prompt = self.prompts.query if task == "query" else self.prompts.document
        with self._lock:
            made = encode(
                texts,
                prompt=prompt,
                batch_size=len(texts),
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        return [np.asarray(vectors, np.float32) for vectors in made]

    def _directory(self) -> str:
        return resolve_reranker(self.name, revision=self.revision)

    def _load(self, where: str, device: str | None) -> MultiVectorEncoder:
        from sentence_transformers import MultiVectorEncoder

        from rerank_search.models.loading import load_saved

        what = f"the reranker {self.name!r}"
        return load_saved(MultiVectorEncoder, what, where, device)


def is_late_interaction(name: str) -> bool:
    """Whether the model of that name has token vectors. Raises ModelNotFoundError."""
    return kind_of(Path(resolve_reranker(name))) == "multi-vector"
