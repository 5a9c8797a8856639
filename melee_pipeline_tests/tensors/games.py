"""Tables and packed games in which every packed field has values of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from melee_pipeline.replays.game import Fighter, Game
from melee_pipeline.replays.read import read_replay
from melee_pipeline.replays.write import write_slp
from melee_pipeline.schema.beside import Beside
from melee_pipeline.schema.field import Version
from melee_pipeline.tensors.derive import derive
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
            **{
                f"post.state_flags.{i}": rng.integers(0, 256, frames).astype("u1") for i in range(5)
            },
            "post.last_attack_landed": rng.integers(0, 120, frames).astype("u1"),
            "post.combo_count": rng.integers(0, 20, frames).astype("u1"),
            "post.last_hit_by": rng.integers(0, 7, frames).astype("u1"),
            "post.ground": rng.choice([0, 5, 200, 300, 65535], frames).astype("u2"),
            "post.l_cancel": rng.integers(0, 3, frames).astype("u1"),
            "post.misc_as": rng.integers(-5, 300, frames).astype("f4"),
            "post.state_age": rng.uniform(-1, 120, frames).astype("f4"),
            "post.hitlag": rng.integers(0, 20, frames).astype("f4"),
            "post.state": rng.integers(380, 527, frames).astype("u2"),
            "post.jumps": rng.integers(0, 12, frames).astype("u1"),
            "post.character": rng.integers(0, 40, frames).astype("u1"),
        }
        return replace(fighter, columns={**fighter.columns, **numbers, **sticks, **other})

    rows = rng_of(seed).integers(0, frames, 3 * frames)
    items = {
        "row": np.sort(rows),
        "item.position.x": rng_of(seed + 1).normal(0, 60, len(rows)).astype("f4"),
        "item.position.y": rng_of(seed + 2).normal(0, 60, len(rows)).astype("f4"),
        "item.owner": rng_of(seed + 3).choice([-1, 0, 2], len(rows)).astype("i1"),
    }
    fighters = tuple(more(fighter) for fighter in game.fighters)
    return replace(game, fighters=fighters, items=items if version >= (3, 0, 0) else {})


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed + 2000)


def table_of(game: Game, folder: Path) -> pa.Table:
    """The game written as a replay and read again, as the parser does, ready to be packed."""
    folder.mkdir(parents=True, exist_ok=True)
    replay = read_replay(write_slp(game, folder / "game.slp"))
    ports = [fighter.port - 1 for fighter in game.fighters]
    items = replay.beside(Beside.ITEMS)
    return derive(replay.table(), items, ports, game.start.version)
