"""Sample games: what two readers make of them, and the archive that holds them."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import numpy as np
import py7zr
import pytest
from numpy.typing import NDArray
from slippi import Game as SlippiGame

from melee_pipeline.errors import ReplayError
from melee_pipeline.progress import Progress
from melee_pipeline.replays.events import Version
from melee_pipeline.replays.game import METHOD_NO_CONTEST, Game, roll_back
from melee_pipeline.replays.parse import parse_files
from melee_pipeline.replays.read import read_replay
from melee_pipeline.replays.simulate import sample_archive, sample_games, simulate_game
from melee_pipeline.replays.write import to_bytes, write_slp
from melee_pipeline.schema.table import FIELDS
from melee_pipeline.sources.extract import extract_archive, folder_replays

VERSIONS: tuple[Version, ...] = ((2, 0, 1), (3, 9, 0), (3, 13, 0), (3, 16, 0), (3, 17, 0))


def columns(game: Game, player: int) -> dict[str, NDArray[np.generic]]:
    """The columns that were simulated for one player."""
    return {name: np.asarray(value) for name, value in game.fighters[player].columns.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_peppi_reads_every_column_back(tmp_path: Path, version: Version) -> None:
    game = simulate_game(3, version=version, frames=1900)
    rolled = roll_back(roll_back(game, 900, 6), 300, 2) if version == (3, 13, 0) else game
    replay = read_replay(write_slp(rolled, tmp_path / "game.slp"))
    table = replay.table()
    assert replay.version == version
    assert table.column("frame").to_pylist() == list(range(-123, 1777))
    compared = 0
    for field in (field for field in FIELDS if field.since <= version):
        for player in range(2):
            if field.path in game.fighters[player].columns:
                read = table.column(f"p{player}_{field.name}").to_numpy()
                wanted = columns(game, player)[field.path]
                np.testing.assert_array_equal(read, wanted, field.name)
                compared += 1
    assert compared > 2 * 25
    if version >= (2, 2, 0):
        np.testing.assert_array_equal(
            table.column("random_seed").to_numpy(), np.asarray(game.columns["start.random_seed"])
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_py_slippi_agrees(tmp_path: Path, version: Version) -> None:
    game = simulate_game(4, version=version, frames=1900)
    rolled = roll_back(game, 1000, 5) if version == (3, 13, 0) else game
    oracle = SlippiGame(str(write_slp(rolled, tmp_path / "game.slp")))
    assert oracle.start.stage == game.start.stage
    assert oracle.start.random_seed == game.start.random_seed
    assert oracle.end.method == METHOD_NO_CONTEST
    assert oracle.end.lras_initiator == game.start.players[0].port - 1
    for player, port in enumerate(p.port - 1 for p in game.start.players):
        frames = [frame.ports[port].leader for frame in oracle.frames]
        recorded = columns(game, player)
        pre, post = [f.pre for f in frames], [f.post for f in frames]
        flying = recorded["post.airborne"].astype(bool)
        read = {
            "pre.state": [p.state for p in pre],
            "pre.position.x": [p.position.x for p in pre],
            "pre.position.y": [p.position.y for p in pre],
            "pre.direction": [p.direction for p in pre],
            "pre.percent": [p.damage for p in pre],
            "pre.random_seed": [p.random_seed for p in pre],
            "pre.joystick.x": [p.joystick.x for p in pre],
            "pre.joystick.y": [p.joystick.y for p in pre],
            "pre.cstick.x": [p.cstick.x for p in pre],
            "pre.cstick.y": [p.cstick.y for p in pre],
            "pre.triggers": [p.triggers.logical for p in pre],
            "pre.triggers_physical.l": [p.triggers.physical.l for p in pre],
            "pre.triggers_physical.r": [p.triggers.physical.r for p in pre],
            "pre.buttons": [int(p.buttons.logical) for p in pre],
            "pre.buttons_physical": [int(p.buttons.physical) for p in pre],
            "post.state": [p.state for p in post],
            "post.position.x": [p.position.x for p in post],
            "post.position.y": [p.position.y for p in post],
            "post.direction": [p.direction for p in post],
            "post.percent": [p.damage for p in post],
            "post.shield": [p.shield for p in post],
            "post.stocks": [p.stocks for p in post],
            "post.last_attack_landed": [p.last_attack_landed or 0 for p in post],
            "post.last_hit_by": [6 if p.last_hit_by is None else p.last_hit_by for p in post],
            "post.combo_count": [p.combo_count for p in post],
            "post.state_age": [p.state_age for p in post],
            "post.airborne": [p.airborne for p in post],
            "post.jumps": [p.jumps for p in post],
            "post.l_cancel": [int(p.l_cancel or 0) for p in post],
        }
        for name, values in read.items():
            np.testing.assert_array_equal(np.array(values, "f8"), recorded[name], name)
        assert [p.hit_stun for p in post] == recorded["post.misc_as"].tolist()
        assert any(p.hit_stun for p in post)
        for i in range(5):
            flags = [int(p.flags) >> (8 * i) & 0xFF for p in post]
            assert flags == recorded[f"post.state_flags.{i}"].tolist()
        ground = [p.ground for p in post if p.ground is not None]
        assert ground == recorded["post.ground"][~flying].tolist()


def test_the_same_seed_gives_the_same_bytes() -> None:
    def made(seed: int) -> bytes:
        return to_bytes(simulate_game(seed, frames=400))

    assert made(5) == made(5)
    assert made(5) != made(6)


def test_an_archive_gives_its_games_and_the_parser_refuses_the_rest(
    tmp_path: Path, quiet: Progress
) -> None:
    archive = sample_archive(tmp_path / "sample.7z", 4)
    assert [path.name for path in tmp_path.iterdir()] == ["sample.7z"]
    with py7zr.SevenZipFile(archive) as packed:
        names = packed.getnames()
    assert sum(name.startswith("__MACOSX/") for name in names) == 1
    assert all(re.search(r"Game_\d{8}T\d{6}\.slp$", name) for name in names), names
    extract_archive(archive, tmp_path / "files", quiet)
    parsed = parse_files(folder_replays(tmp_path / "files"), tmp_path / "out", quiet, workers=1)
    assert parsed.reasons() == {"empty file": 1, "too short": 1, "duplicate": 1}
    assert len(parsed.kept) == 4
    assert len({row.content for row in parsed.kept}) == 4
    assert {row.slippi_version for row in parsed.kept} == {"2.0.1", "3.9.0", "3.13.0", "3.16.0"}
    assert all(2000 <= (row.frames or 0) <= 5000 for row in parsed.kept)
    assert [row.slippi_version for row in parsed.kept if row.rows != row.frames] == ["3.13.0"]


def test_sample_games_are_the_same_each_time() -> None:
    one, two = (list(islice(sample_games(), 2)) for _ in range(2))
    assert one == two
    assert one[0][0] != one[1][0]


def test_what_the_simulator_lacks_is_named() -> None:
    with pytest.raises(ReplayError, match=r"no character 5: expected one of \[0, 2, 9, 19, 20\]"):
        simulate_game(0, characters=(5, 2))
    with pytest.raises(ReplayError, match="no stage 6"):
        simulate_game(0, stage=6)
