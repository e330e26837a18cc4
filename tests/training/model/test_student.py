"""A new student compared with the base that it was made from."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from rerank_search import InvalidInputError
from rerank_search.training.data.groups import Group
from rerank_search.training.model.student import make_student, narrow
from rerank_search.training.recipe.recipe import Student


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    """Made-up queries and documents, labelled by how many words they share."""
    words = ["path", "file", "bread", "river", "song", "kitchen", "engine", "queen", "village"]
    chance = random.Random(5)
    found = []
    for _ in range(60):
        query = chance.sample(words, 4)
        documents = [chance.sample(words, chance.randint(3, 9)) for _ in range(8)]
        shared = [float(len(set(query) & set(each))) for each in documents]
        found.append(Group(" ".join(query), [" ".join(each) for each in documents], shared))
    return found


def made(base: Path, folder: Path, layers: int, width: int, heads: int | None = None):
    shape = Student(layers=layers, width=width, heads=heads)
    return CrossEncoder(make_student(str(base), shape, 42, folder), device="cpu")


def distances(network, inputs) -> np.ndarray:
    """The distances between the states of the first tokens after the last layer, for all pairs."""
    with torch.no_grad():
        states = network(**inputs).last_hidden_state[:, 0]
    return torch.pdist(states).numpy()


def likeness(base: Path, model: CrossEncoder, groups: list[Group]) -> tuple[float, float]:
    """The correlation of distances between states with the base's, before and after narrowing."""
    from transformers import AutoModel

    pairs = [(group.query, text) for group in groups[50:] for text in group.documents]
    inputs = model.tokenizer(
        *map(list, zip(*pairs, strict=True)), padding=True, return_tensors="pt"
    )
    expected = distances(AutoModel.from_pretrained(base).eval(), inputs)
    random_weights = distances(model.model.bert.eval(), inputs)
    narrow(model, str(base), groups[:50], seed=1)
    narrowed = distances(model.model.bert.eval(), inputs)
    before, after = (np.corrcoef(expected, own)[0, 1] for own in (random_weights, narrowed))
    return before, after


def test_a_student_begins_near_its_base(tiny_encoder, tmp_path, groups):
    model = made(tiny_encoder, tmp_path, layers=2, width=28)
    before, after = likeness(tiny_encoder, model, groups)
    assert after > 0.9
    assert after > before + 0.1


def test_it_keeps_the_heads_that_move_something(tiny_encoder, tmp_path, groups):
    from transformers import AutoModel, AutoTokenizer

    base = tmp_path / "base"
    whole = AutoModel.from_pretrained(tiny_encoder)
    with torch.no_grad():
        for place, layer in enumerate(whole.encoder.layer):
            layer.attention.output.dense.weight[:, slice(16) if place else slice(16, 32)] *= 0.01
    whole.save_pretrained(base)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(base)
    model = made(base, tmp_path / "student", layers=2, width=28, heads=1)
    assert model.model.config.num_attention_heads == 1
    before, after = likeness(base, model, groups)
    assert after > 0.9
    assert after > before + 0.1


def test_where_the_width_stays_it_is_the_base_without_what_moves_little(tiny_reranker, tmp_path):
    """The units that are left out here have no effect, so the scores are the base's."""
    base = CrossEncoder(str(tiny_reranker), device="cpu")
    pairs = [("a path", "a river"), ("b", "c")]
    units = base.model.config.intermediate_size
    with torch.no_grad():
        for layer in base.model.bert.encoder.layer:
            layer.output.dense.weight[:, ::2] = 0
    base.save_pretrained(str(tmp_path / "base"))
    folder = make_student(
        str(tmp_path / "base"), Student(feed_forward=units // 2), 42, tmp_path / "student"
    )
    model = CrossEncoder(folder, device="cpu")
    narrow(model, str(tmp_path / "base"), [Group("a path", ["b", "c"], [1.0, 0.0])], 1)
    assert model.model.config.intermediate_size == units // 2
    np.testing.assert_allclose(model.predict(pairs), base.predict(pairs), atol=1e-5)


def test_its_first_scores_are_small_and_its_gradients_too(tiny_encoder, tmp_path, groups):
    """They are small for any labels, because a fitted head made the training diverge."""
    scaled = [Group(each.query, each.documents, [50 * x for x in each.labels]) for each in groups]
    model = made(tiny_encoder, tmp_path, layers=2, width=28)
    narrow(model, str(tiny_encoder), scaled, seed=1)
    texts = zip(*[(group.query, text) for group in groups for text in group.documents], strict=True)
    inputs = model.tokenizer(*map(list, texts), padding=True, return_tensors="pt")
    scores = model.model(**inputs).logits.reshape(len(groups), -1)
    labels = torch.tensor([group.labels for group in groups])
    torch.nn.functional.cross_entropy(scores, labels.softmax(-1)).backward()
    assert 0 < scores.std(dim=1).mean() < 1
    assert 0 < max(each.grad.norm() for each in model.model.parameters()) < 3


def test_it_is_the_same_student_by_seed(tiny_encoder, tmp_path, groups):
    weights = []
    for number in range(2):
        model = made(tiny_encoder, tmp_path / str(number), layers=1, width=16)
        narrow(model, str(tiny_encoder), groups, seed=1)
        weights.append(model.model.classifier.weight.clone())
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Student(layers=1, width=33), "student.width=33 is too large: the base has 32"),
        (Student(layers=1, width=15), "a multiple of its 2 heads"),
        (Student(feed_forward=1000), "student.feed_forward=1000 is too large: the base has"),
        (Student(heads=1), "student.heads=1 needs a smaller student.width"),
        (Student(layers=3, width=16), "student.layers=3 is too large: the base has 2"),
        (Student(layers=1, width=16, heads=4), "student.heads=4 is too large: the base has 2"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(tiny_encoder, tmp_path, shape, message):
    with pytest.raises(InvalidInputError, match=message):
        make_student(str(tiny_encoder), shape, 42, tmp_path)
