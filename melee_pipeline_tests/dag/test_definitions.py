"""The code location: what it holds, that it is described, and that it loads light."""

from __future__ import annotations

import subprocess
import sys
from runpy import run_path

import dagster as dg
import pytest

from melee_pipeline.dag.automation import settings
from melee_pipeline.dag.definitions import defs
from melee_pipeline.dag.jobs import ASSETS
from melee_pipeline.dag.partitions import EXPERIMENTS, SOURCES
from melee_pipeline.errors import ConfigError

GRAPH = {
    "replay_archive": set(),
    "extracted_replays": {"replay_archive"},
    "parsed_games": {"extracted_replays"},
    "encoded_shards": {"parsed_games"},
    "training_set": {"encoded_shards"},
    "checkpoint": {"training_set"},
    "evaluation": {"checkpoint"},
}


def test_the_graph_is_the_one_of_the_design() -> None:
    found = {
        asset.key.to_user_string(): {
            dep.to_user_string() for deps in asset.asset_deps.values() for dep in deps
        }
        for asset in ASSETS
    }
    assert found == GRAPH
    assert ASSETS[0].partitions_def == SOURCES
    assert ASSETS[4].partitions_def is None
    assert ASSETS[-1].partitions_def == EXPERIMENTS


def test_every_asset_and_check_is_described() -> None:
    for asset in ASSETS:
        spec = asset.get_asset_spec()
        assert len(spec.description or "") > 60, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.group_name != "default", spec.key
        assert list(asset.check_specs), spec.key
        assert all(check.description for check in asset.check_specs), spec.key


def test_definitions_are_valid() -> None:
    dg.Definitions.validate_loadable(defs())


def test_loading_imports_nothing_heavy() -> None:
    """design: with torch or polars at the top every step's process starts seconds later."""
    code = (
        "import sys, melee_pipeline.dag.definitions\n"
        "print(sorted({'torch', 'polars', 'wandb', 'matplotlib', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("value", ["three", "-1", ""])
def test_a_variable_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    code = run_path(settings.__file__)
    monkeypatch.setenv("MELEE_TRIES", value)
    with pytest.raises(ConfigError, match=f"MELEE_TRIES is '{value}'; expected a whole number"):
        run_path(settings.__file__)
    monkeypatch.setenv("MELEE_TRIES", "5")
    assert (code["TRIES"], run_path(settings.__file__)["TRIES"]) == (3, 5)
