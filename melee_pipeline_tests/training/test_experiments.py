"""A user's experiments file: found, checked by name, and the same as a recipe changed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from melee_pipeline.errors import ConfigError
from melee_pipeline.store import Store
from melee_pipeline.training.experiments import find_experiment, load_experiments
from melee_pipeline.training.recipes import RECIPES, mlp_v2


def write(store: Store, text: str) -> None:
    store.root.mkdir(parents=True, exist_ok=True)
    store.user_experiments.write_text(text)


def test_without_a_file_there_are_the_recipes(store: Store) -> None:
    assert load_experiments(store) == {name: make() for name, make in RECIPES.items()}


def test_a_users_experiment_is_a_recipe_with_knobs_changed(store: Store) -> None:
    write(store, "wide:\n  recipe: mlp_v2\n  hidden: [1024, 512]\n  lr: 3e-4\n")
    by_hand = mlp_v2()
    by_hand = replace(by_hand, model=replace(by_hand.model, hidden=(1024, 512)))  # type: ignore[call-arg]
    assert find_experiment(store, "wide") == replace(by_hand, experiment="wide", lr=3e-4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wide: [", "not valid YAML"),
        ("- wide", "expected `name: {recipe"),
        ("wide:\n  lr: 1", "wide needs `recipe`, one of mlp_v1"),
        ("wide:\n  recipe: mlp_v9", "wide needs `recipe`"),
        ("wide:\n  recipe: mlp_v2\n  learning_rate: 1", "wide: knob 'learning_rate' is unknown"),
        ("wide:\n  recipe: [mlp_v2]", r"wide needs `recipe`.*found {'recipe': \['mlp_v2'\]}"),
        ("mlp_v2:\n  recipe: mlp_v1", "mlp_v2 is a recipe; give yours another name"),
        ("../up:\n  recipe: mlp_v1", "a name is letters"),
    ],
)
def test_a_wrong_file_is_named_with_its_entry(store: Store, text: str, said: str) -> None:
    write(store, text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_experiments(store)
    assert "experiments.yaml" in str(caught.value)


def test_a_file_that_is_not_utf8_is_named(store: Store) -> None:
    write(store, "")
    store.user_experiments.write_bytes("größer: {recipe: mlp_v2}".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"experiments\.yaml is not text in UTF-8 .*byte 0xf6"):
        load_experiments(store)


def test_an_unknown_name_gets_the_nearest(store: Store) -> None:
    with pytest.raises(ConfigError, match="'mlp_v22' is unknown; did you mean mlp_v2"):
        find_experiment(store, "mlp_v22")
