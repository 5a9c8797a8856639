"""Small games that tests write as real `.slp` files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from melee_pipeline.replays.game import Fighter, Game, GameStart, Player, frame_ids
from melee_pipeline.replays.write import write_slp
from melee_pipeline.schema.field import Version

FOX, FALCO, BATTLEFIELD = 2, 20, 31  # external ids
FOX_INTERNAL, FALCO_INTERNAL = 1, 22


def small_game(
    frames: int = 2000,
    *,
    seed: int = 0,
    version: Version = (3, 16, 0),
    stage: int = BATTLEFIELD,
    players: tuple[Player, ...] = (Player(1, FOX), Player(3, FALCO)),
) -> Game:
    """A game of random but plausible columns: enough to tell every field from every other."""
    rng = np.random.default_rng(seed)
    internal = {FOX: FOX_INTERNAL, FALCO: FALCO_INTERNAL}
    fighters = tuple(
        Fighter(
            player.port,
            {
                "pre.joystick.x": np.round(rng.uniform(-80, 80, frames)).astype("f4") / 80,
                "pre.cstick.y": np.round(rng.uniform(-80, 80, frames)).astype("f4") / 80,
                "pre.triggers": np.round(rng.uniform(0, 140, frames)).astype("f4") / 140,
                "pre.buttons": rng.integers(0, 1 << 12, frames).astype("u4"),
                "post.character": np.full(frames, internal.get(player.character, 0), "u1"),
                "post.state": rng.integers(0, 383, frames).astype("u2"),
                "post.position.x": rng.normal(0, 40, frames).astype("f4"),
                "post.position.y": rng.normal(10, 20, frames).astype("f4"),
                "post.direction": rng.choice([-1.0, 1.0], frames).astype("f4"),
                "post.percent": rng.uniform(0, 150, frames).astype("f4"),
                "post.shield": rng.uniform(0, 60, frames).astype("f4"),
                "post.stocks": rng.integers(1, 5, frames).astype("u1"),
                "post.airborne": rng.integers(0, 2, frames).astype("u1"),
                "post.jumps": rng.integers(0, 3, frames).astype("u1"),
                "post.hurtbox_state": rng.integers(0, 3, frames).astype("u1"),
            },
        )
        for player in players
    )
    start = GameStart(players, stage, version=version, random_seed=seed)
    return Game(start, frame_ids(frames), fighters)


def write_games(folder: Path, *games: Game) -> list[Path]:
    """Write games as `game-0.slp`, `game-1.slp`, …"""
    folder.mkdir(parents=True, exist_ok=True)
    return [write_slp(game, folder / f"game-{i}.slp") for i, game in enumerate(games)]
