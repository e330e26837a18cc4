"""The speed of every backend that can compute a model on this machine's CPU."""

from __future__ import annotations

import math
from typing import Any

from rerank_search.models.backends.measuring import measured
from rerank_search.models.backends.options import BackendOption, options
from rerank_search.models.bert_folder import read_classifier
from rerank_search.models.threads import limit_threads
from rerank_search.reranking.loaded_network import loaded_network
from rerank_search.reranking.loading import load_cross_encoder
from rerank_search.reranking.modular import ModularNetwork, network_of
from rerank_search.settings import Settings


def compared_backends(name: str, directory: str) -> list[BackendOption]:
    """All options for the model, fastest first; those that are not installed come last.

    Measures options whose speed is not known yet. Raises ModelNotFoundError and InvalidInputError
    for a model that cannot be loaded.
    """
    limit_threads()
    plain = read_classifier(directory, "cpu", "float32")
    model: Any = plain or load_cross_encoder(name, directory, "cpu", own_activation=True)
    network = plain.network if plain else network_of(name, model)
    loaded = loaded_network(network, model.tokenizer, directory)
    found = options()
    if isinstance(network, ModularNetwork):
        found = [option for option in found if option.backend == "torch"]
    usable = [option for option in found if not option.missing]
    missing = [option for option in found if option.missing]
    return [*measured(loaded, usable, Settings().cache, math.inf), *missing]
