"""Tables and packed games in which every packed field has values of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from melee_pipeline.replays.game import Fighter, Game
from melee_pipeline.replays.read import read_replay
from melee_pipeline.replays.write import write_slp
from melee_pipeline.schema.field import Version
from melee_pipeline_tests.replays.games import small_game

if TYPE_CHECKING:
    import pyarrow as pa

OLD: Version = (2, 0, 1)  # no hurtbox_state, velocities or hitlag yet
NEW: Version = (3, 16, 0)


def rich_game(frames: int = 200, *, seed: int = 0, version: Version = NEW) -> Game:
    """A small game with velocities, times, all sticks, and ids that no vocabulary holds."""
    game = small_game(frames, seed=seed, version=version)
    rng = np.random.default_rng(seed + 1000)

    def more(fighter: Fighter) -> Fighter:
        numbers = {
            f"post.velocities.{name}": rng.normal(0, 3, frames).astype("f4")
            for name in ("self_x_air", "self_y", "self_x_ground", "knockback_x", "knockback_y")
        }
        sticks = {
            f"pre.{name}": np.round(rng.uniform(-80, 80, frames)).astype("f4") / 80
            for name in ("joystick.y", "cstick.x")
        }
        other = {
            "pre.buttons": rng.integers(0, 1 << 32, frames).astype("u4"),
            "post.state_age": rng.uniform(-1, 120, frames).astype("f4"),
            "post.hitlag": rng.integers(0, 20, frames).astype("f4"),
            "post.state": rng.integers(380, 527, frames).astype("u2"),
            "post.jumps": rng.integers(0, 12, frames).astype("u1"),
            "post.character": rng.integers(0, 40, frames).astype("u1"),
        }
        return replace(fighter, columns={**fighter.columns, **numbers, **sticks, **other})

    return replace(game, fighters=tuple(more(fighter) for fighter in game.fighters))


def table_of(game: Game, folder: Path) -> pa.Table:
    """The game written as a replay and read again, as the parser does."""
    folder.mkdir(parents=True, exist_ok=True)
    return read_replay(write_slp(game, folder / "game.slp")).table()
