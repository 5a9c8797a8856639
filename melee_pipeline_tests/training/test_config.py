"""Configs: knobs from text, errors that name the knob, and hashes that change with any of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from melee_pipeline.errors import ConfigError
from melee_pipeline.models.config import MLPConfig
from melee_pipeline.training.config import TrainConfig, knobs, loss_parts, override
from melee_pipeline.training.recipes import RECIPES, mlp_v1, mlp_v2

CHANGES: dict[str, tuple[str, Any]] = {  # knob: as typed, as meant
    "experiment": ("mine", "mine"),
    "epochs": ("3", 3),
    "batch_size": ("64", 64),
    "lr": ("3e-4", 3e-4),
    "weight_decay": ("0", 0.0),
    "grad_clip": ("1", 1.0),
    "warmup": ("100", 100),
    "ema": ("0.99", 0.99),
    "patience": ("3", 3),
    "precision": ("bfloat16", "bfloat16"),
    "compile": ("true", True),
    "max_games": ("2000", 2000),
    "seed": ("7", 7),
    "encoding": ("v2", "v2"),
    "context": ("20", 20),
    "hidden": ("64,32,16", (64, 32, 16)),
    "dropout": ("0", 0.0),
    "loss_weights.continuous": ("2", 2.0),
    "loss_weights.binary": ("0.25", 0.25),
    "loss_weights.action_state": ("1e0", 1.0),
    "loss_weights.jumps_left": ("0", 0.0),
}


def test_every_knob_has_a_row_above() -> None:
    assert set(knobs(mlp_v1())) == set(CHANGES)


@pytest.mark.parametrize("knob", CHANGES)
def test_a_knob_is_set_from_text(knob: str) -> None:
    text, wanted = CHANGES[knob]
    before, changed = mlp_v1(), override(mlp_v1(), {knob: text})
    value = knobs(changed)[knob]
    assert value == wanted
    assert type(value) is type(wanted)
    assert {k: v for k, v in knobs(changed).items() if k != knob} == {
        k: v for k, v in knobs(before).items() if k != knob
    }
    assert changed.hash != before.hash, "any knob makes another run"
    assert mlp_v1() == before, "overriding leaves the recipe as it was"


@pytest.mark.parametrize("knob", CHANGES)
def test_what_is_written_is_read_back(knob: str) -> None:
    config = override(mlp_v1(), {knob: CHANGES[knob][0]})
    text = json.dumps(config.to_dict())
    back = TrainConfig.from_dict(json.loads(text))
    assert back == config
    assert back.hash == config.hash
    assert type(back.model) is MLPConfig


def test_none_and_single_widths_from_text() -> None:
    config = override(mlp_v1(), {"batch_size": "64", "hidden": "128"})
    assert (config.batch_size, config.model) == (64, MLPConfig(encoding="v1", hidden=(128,)))
    assert override(config, {"batch_size": "none"}).batch_size is None


@pytest.mark.parametrize(
    ("knob", "near"),
    [
        ("epoch", "epochs"),
        ("dropuot", "dropout"),
        ("loss_weights.jumps", "loss_weights.jumps_left"),
    ],
)
def test_an_unknown_knob_is_answered_with_the_nearest(knob: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"knob '{re.escape(knob)}' is unknown; did you mean"):
        override(mlp_v1(), {knob: "1"})
    with pytest.raises(ConfigError, match=re.escape(near)):
        override(mlp_v1(), {knob: "1"})


def test_a_knob_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(ConfigError, match="knob 'zzz' is unknown; there are experiment, epochs"):
        override(mlp_v1(), {"zzz": "1"})


@pytest.mark.parametrize(
    ("knob", "value", "wanted"),
    [
        ("epochs", "many", "a whole number"),
        ("epochs", "1.5", "a whole number"),
        ("epochs", "true", "a whole number"),
        ("epochs", "none", "a whole number"),
        ("batch_size", "big", "a whole number"),
        ("lr", "fast", "a number"),
        ("lr", "NaN", "a number"),
        ("lr", "Infinity", "a number"),
        ("lr", "1,2", "a number"),
        ("hidden", "64,x", "whole numbers, such as 512,256"),
        ("encoding", "2", "text"),
        ("loss_weights.binary", "none", "a number"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(knob: str, value: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=rf"knob '{re.escape(knob)}' is .*; expected {wanted}"):
        override(mlp_v1(), {knob: value})


@pytest.mark.parametrize(
    ("knob", "value", "message"),
    [
        ("epochs", "0", "epochs is 0; at least 1 is possible"),
        ("seed", str(2**63), f"seed is {2**63}; expected 0 to {2**63 - 1}"),
        ("seed", "1" + "0" * 400, "expected 0 to"),
        ("batch_size", "0", "batch_size is 0; at least 1"),
        ("max_games", "0", "max_games is 0; at least 1"),
        ("context", "0", "context is 0; at least 1"),
        ("hidden", "64,0", "hidden is 0; at least 1"),
        ("lr", "-1", "lr is -1.0; it is above 0"),
        ("grad_clip", "0", "grad_clip is 0.0; it is above 0, or none"),
        ("loss_weights.jumps_left", "-1", "loss_weights is -1.0; at least 0"),
        ("dropout", "1", "dropout must be at least 0 and below 1"),
        ("encoding", "v9", "encoding 'v9' is unknown; there are v1, v2"),
    ],
)
def test_a_value_that_cannot_work_is_named(knob: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        override(mlp_v1(), {knob: value})


def test_loss_weights_must_be_those_of_the_encoding() -> None:
    assert loss_parts("v1") == ("continuous", "binary", "action_state", "jumps_left")
    with pytest.raises(ConfigError, match="loss_weights has continuous; encoding v1 needs"):
        replace(mlp_v1(), loss_weights={"continuous": 1.0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": 1}, "TrainConfig has no speed"),
        ({"model": {"kind": "mlp", "encoding": "v1", "depth": 3}}, "MLPConfig has no depth"),
        ({"model": {"kind": "mlp"}}, "MLPConfig needs encoding"),
        ({"model": {"kind": "rnn", "encoding": "v1"}}, "of no kind in ['mlp'"),
        ({"epochs": "3"}, "knob 'epochs' is '3'; expected a whole number"),
    ],
)
def test_a_file_that_is_not_a_config_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        TrainConfig.from_dict({**mlp_v1().to_dict(), **change})


def test_recipes_are_the_reference_settings() -> None:
    for make, version in ((mlp_v1, "v1"), (mlp_v2, "v2")):
        config = make()
        assert config.model == MLPConfig(
            encoding=version, context=10, hidden=(512, 256), dropout=0.1
        )
        assert (config.lr, config.weight_decay) == (1e-3, 1e-5)
        assert list(config.loss_weights.values()) == [1.0, 0.5, 2.0, 0.5]
        assert (config.batch(1999), config.batch(2000)) == (256, 512)
    assert {name: make().experiment for name, make in RECIPES.items()} == {n: n for n in RECIPES}


@pytest.mark.parametrize(("games", "wanted"), [(1, 0), (2, 1), (100, 10)])
def test_max_games_is_shared_out(games: int, wanted: int) -> None:
    assert replace(mlp_v1(), max_games=games).validation_games(0.1) == wanted
    assert mlp_v1().validation_games(0.1) is None


@pytest.mark.parametrize("name", ["", "../elsewhere", "a/b", "-x", "a b"])
def test_a_name_that_is_no_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a name is letters, digits, dashes, underscores"):
        replace(mlp_v1(), experiment=name)


def test_the_largest_seed_is_kept_to_the_last_digit() -> None:
    assert override(mlp_v1(), {"seed": str(2**63 - 1)}).seed == 2**63 - 1
