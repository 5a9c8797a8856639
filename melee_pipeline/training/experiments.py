"""Experiments by name: the package's recipes, and the user's own in the data root.

`experiments.yaml` holds the user's, each a recipe and the knobs that it changes:

    wide:
      recipe: mlp_v2
      hidden: [1024, 512]
      lr: 3e-4
"""

from __future__ import annotations

from typing import Any

import yaml

from melee_pipeline.errors import ConfigError, did_you_mean, text_of
from melee_pipeline.store import Store
from melee_pipeline.training.config import TrainConfig, override
from melee_pipeline.training.recipes import RECIPES


def load_experiments(store: Store) -> dict[str, TrainConfig]:
    """All experiments by name, the recipes first.

    Raises ConfigError naming the file and the entry that is not valid.
    """
    own = _entries(store)
    if taken := sorted(set(own) & set(RECIPES)):
        raise ConfigError(
            f"{store.user_experiments}: {taken[0]} is a recipe; give yours another name"
        )
    recipes = {name: recipe() for name, recipe in RECIPES.items()}
    where = str(store.user_experiments)
    return recipes | {name: _config(name, entry, where) for name, entry in own.items()}


def find_experiment(store: Store, name: str) -> TrainConfig:
    """The config of an experiment. Raises ConfigError naming those there are."""
    known = load_experiments(store)
    if name in known:
        return known[name]
    hint = did_you_mean(name, known, 1)
    raise ConfigError(
        f"experiment {name!r} is unknown; {hint}there are {', '.join(known)}; "
        f"your own go into {store.user_experiments}"
    )


def _entries(store: Store) -> dict[str, Any]:
    path = store.user_experiments
    try:
        data = yaml.safe_load(text_of(path, ConfigError)) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected `name: {{recipe: …, lr: …}}` entries")
    return {str(name): entry for name, entry in data.items()}


def _config(name: str, entry: Any, where: str) -> TrainConfig:  # noqa: ANN401 - straight from YAML
    recipe = entry.get("recipe") if isinstance(entry, dict) else None
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise ConfigError(
            f"{where}: {name} needs `recipe`, one of {', '.join(RECIPES)}, and the knobs it "
            f"changes; found {entry!r}"
        )
    changes = {str(knob): value for knob, value in entry.items() if knob != "recipe"}
    try:
        return override(RECIPES[recipe](), {**changes, "experiment": name})
    except ConfigError as error:
        raise ConfigError(f"{where}: {name}: {error}") from error
