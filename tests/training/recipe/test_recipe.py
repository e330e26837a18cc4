from __future__ import annotations

from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.training.recipe.loading import load_recipe
from rerank_search.training.recipe.recipe import Recipe

MINIMAL = 'name = "r"\noutput = "out"\n[[sources]]\ncollection = "data"\n'
RECIPES = Path(__file__).parents[3] / "eval" / "recipes"


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, MINIMAL))
    assert recipe.output == tmp_path / "out"
    assert recipe.sources[0].collection == tmp_path / "data"


def test_an_unknown_key_is_refused_with_the_nearest_right_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"unknown key 'max_lenght'.*'max_length'"):
        load_recipe(written(tmp_path, "max_lenght = 3\n" + MINIMAL))


def test_an_unknown_training_argument_is_refused_with_the_nearest_right_one(
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidInputError, match=r"arguments.learning_rat'.*'learning_rate'"):
        load_recipe(written(tmp_path, MINIMAL + "[arguments]\nlearning_rat = 1\n"))


def test_overrides_are_read_as_toml_values(tmp_path: Path) -> None:
    recipe = load_recipe(
        written(tmp_path, MINIMAL),
        {"arguments.learning_rate": "3e-5", "seed": "7", "name": "other"},
    )
    assert recipe.arguments == {"learning_rate": 3e-5}
    assert (recipe.seed, recipe.name) == (7, "other")


def test_keys_with_a_point_in_them_are_quoted(tmp_path: Path) -> None:
    recipe = load_recipe(
        written(tmp_path, 'name = "r"\noutput = "out"\n[[sources]]\npairs = "p"\n'),
        {"sources.0.label_map.0": "0.0", 'sources.0.label_map."0.5"': "0.2"},
    )
    assert recipe.sources[0].label_map == {"0": 0.0, "0.5": 0.2}


def test_an_override_below_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"'name' is not a table"):
        load_recipe(written(tmp_path, MINIMAL), {"name.first": "x"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name = ", "not valid TOML"),
        (MINIMAL.replace('"r"', '"a/b"'), "name: .*contains a slash"),
        ('name = "r"\noutput = "out"\nsources = []\n', "sources"),
        (MINIMAL + "[negatives]\nper_query = 0\n", r"negatives\.per_query.*it is 0"),
        (
            'name = "r"\noutput = "out"\n[[sources]]\npairs = "p"\nlabel_map = {0.5 = 1}\n',
            'quote labels that contain a point: "0.5" = ',
        ),
        ('loss = "bce"\n' + MINIMAL + "[soft_labels]\n", r"labels in \[0, 1\]"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        load_recipe(written(tmp_path, text))


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"nothing\.toml cannot be read"):
        load_recipe(tmp_path / "nothing.toml")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_recipes_of_this_repository_are_valid(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert not {"scifact", "cranfield", "msmarco-dl19"} & {each.name for each in recipe.sources}


def test_two_evaluation_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    one = '[[evaluation.sets]]\nname = "a"\npairs = "p"\n'
    with pytest.raises(InvalidInputError, match="two sets have the same name: a, a"):
        load_recipe(written(tmp_path, f"{MINIMAL}[evaluation]\n{one}{one}"))


@pytest.mark.parametrize(
    "path", sorted(RECIPES.glob("rerank-search-*.toml")), ids=lambda path: path.stem
)
def test_the_bundled_rerankers_recipes_train_on_nothing_kept_for_evaluation(path: Path) -> None:
    recipe: Recipe = load_recipe(path)
    used = [*recipe.sources, *(recipe.calibration.sources if recipe.calibration else [])]
    names = {source.collection.name for source in used}
    assert names
    assert names <= {
        "cloud-docs",
        "counsel-chat",
        "doctor-answers",
        "medquad",
        "pubmedqa",
        "squad-sentences",
        "tat-qa",
    }
    assert all(source.licence for source in recipe.sources)
