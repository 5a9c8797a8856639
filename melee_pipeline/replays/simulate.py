"""Sample games: simulated, and written as real `.slp` files by the project's own writer.

Everything follows from the seed: the same seed gives the same replay, byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from lzma import FILTER_LZMA2
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.events import FIRST_FRAME, Version
from melee_pipeline.replays.game import (
    METHOD_GAME,
    METHOD_NO_CONTEST,
    METHOD_RESOLVED,
    METHOD_TIME,
    Fighter,
    Game,
    GameEnd,
    GameStart,
    Metadata,
    Player,
    frame_ids,
    roll_back,
)
from melee_pipeline.replays.simulator.arena import ARENAS, BODIES
from melee_pipeline.replays.simulator.play import FIRST_INPUT, Tape, columns_of, play
from melee_pipeline.replays.write import to_bytes, truncate
from melee_pipeline.store import atomic_file

_PORTS = ((1, 2), (1, 2), (1, 3), (2, 4), (3, 4))
_NAMES = (("Sample One", "SMPL#001"), ("Sample Two", "SMPL#002"))
# What an archive's games are recorded as, in turn, and how often each rolls back.
_RECORDINGS: tuple[tuple[Version, int], ...] = (
    ((3, 16, 0), 0),
    ((2, 0, 1), 0),
    ((3, 13, 0), 12),
    ((3, 9, 0), 0),
)
_TIMER, _SHORTEST = 80, 2000  # seconds at most, and frames at least, of a game in an archive
_METHODS_SINCE: Version = (2, 0, 0)  # which tell how a game ended
_FOLDER = "Sample games"


def simulate_game(
    seed: int,
    *,
    version: Version = (3, 16, 0),
    frames: int | None = None,
    characters: tuple[int, int] | None = None,
    stage: int | None = None,
    ports: tuple[int, int] | None = None,
    timer: int = 480,
) -> Game:
    """Play a game to its end: the last stock, or the time limit of `timer` seconds.

    Characters and stage (external ids) and ports follow from the seed unless given. After
    `frames` frames, if the game goes on, the player of the lower port leaves it. Raises
    ReplayError for a character or a stage that the simulator does not know.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.choice(list(BODIES), 2), rng.choice(list(ARENAS)), rng.choice(_PORTS)
    characters = characters or (int(drawn[0][0]), int(drawn[0][1]))
    stage = int(drawn[1]) if stage is None else stage
    ports = ports or (int(drawn[2][0]), int(drawn[2][1]))
    _known("character", characters, BODIES)
    _known("stage", [stage], ARENAS)
    players = tuple(
        Player(port, character, costume=i, name=name, code=code)
        for i, (port, character, (name, code)) in enumerate(
            zip(ports, characters, _NAMES, strict=True)
        )
    )
    seed_of_game = int(rng.integers(1 << 32))
    start = GameStart(players, stage, version, timer=timer, random_seed=seed_of_game)
    time = timer * 60 - FIRST_FRAME
    tape = play(rng, start, min(frames or time, time))
    seeds = _random_seeds(start.random_seed, len(tape.states))
    return Game(
        start,
        frame_ids(len(tape.states)),
        tuple(Fighter(ports[i], columns_of(tape, i, seeds)) for i in range(len(ports))),
        columns={
            "start.random_seed": seeds,
            "start.scene_frame_counter": np.arange(len(seeds), dtype="u4"),
        },
        end=_end(tape, start, time),
        metadata=Metadata(start_at=started_at(seed).strftime("%Y-%m-%dT%H:%M:%SZ")),
    )


def started_at(seed: int) -> datetime:
    """When a game is said to have been played."""
    return datetime(2001, 12, 3, 12, tzinfo=UTC) + timedelta(seconds=661 * (seed % 1_000_000))


def _known(what: str, ids: Sequence[int], known: Collection[int]) -> None:
    unknown = [one for one in ids if one not in known]
    if unknown:
        raise ReplayError(
            f"the simulator has no {what} {unknown[0]}: expected one of {sorted(map(int, known))}"
        )


def _random_seeds(seed: int, frames: int) -> NDArray[np.uint32]:
    """The game's random seed on each frame, by its own generator, drawn once a frame."""
    seeds = np.empty(frames, "u4")
    for i in range(frames):
        seeds[i] = seed
        seed = (seed * 214013 + 2531011) % (1 << 32)
    return seeds


def _end(tape: Tape, start: GameStart, time: int) -> GameEnd:
    """The winner has more stocks, at the time limit else less damage, else the lower port."""
    one, two = tape.states[-1]
    port, other = (player.port for player in start.players)
    over = not (one.stocks and two.stocks)
    if not over and len(tape.states) < time:
        return GameEnd(METHOD_NO_CONTEST, quitter=port, placements={port: 1, other: 0})
    method = METHOD_GAME if over else METHOD_TIME
    if start.version < _METHODS_SINCE:
        method = METHOD_RESOLVED
    first = (-one.stocks, one.percent) <= (-two.stocks, two.percent)
    return GameEnd(method, placements={port: int(not first), other: int(first)})


def sample_games() -> Iterator[tuple[str, bytes]]:
    """File names and contents of ever more replays: characters, stages and versions vary."""
    made = 0
    for seed in count():
        version, rollbacks = _RECORDINGS[made % len(_RECORDINGS)]
        game = simulate_game(seed, version=version, timer=_TIMER)
        if len(game.frames) < _SHORTEST:
            continue
        rng = np.random.default_rng(seed)
        last = int(game.frames[-1])
        for frame in sorted(rng.integers(FIRST_INPUT, last, rollbacks), reverse=True):
            game = roll_back(game, int(frame), int(rng.integers(1, 8)))
        made += 1
        yield f"Game_{started_at(seed):%Y%m%dT%H%M%S}.slp", to_bytes(game)


def sample_archive(path: Path, games: int) -> Path:
    """Write a 7z archive of `games` different replays, and of what else real archives hold.

    That is a macOS resource file, an empty replay, one that broke off and one that stands in the
    archive twice. Gives the path back.
    """
    import py7zr

    made = islice(sample_games(), games + 1)
    broken, content = next(made)
    fast = [{"id": FILTER_LZMA2, "preset": 1}]
    with atomic_file(path) as temporary, py7zr.SevenZipFile(temporary, "w", filters=fast) as out:
        out.writestr(truncate(content, len(content) // 5), f"{_FOLDER}/{broken}")
        out.writestr(b"\0\5\x16\7" + bytes(60), f"__MACOSX/{_FOLDER}/._{broken}")
        out.writestr(b"", f"{_FOLDER}/Game_20011203T115959.slp")
        for name, content in made:
            out.writestr(content, f"{_FOLDER}/{name}")
        if games:
            out.writestr(content, f"{_FOLDER}/again/{name}")
    return path
