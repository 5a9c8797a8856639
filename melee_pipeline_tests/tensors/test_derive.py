"""Derived fields against a plain loop over frames and items."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from melee_pipeline.progress import Quiet
from melee_pipeline.replays.parse import parse_files
from melee_pipeline.replays.read import read_replay
from melee_pipeline.replays.write import write_slp
from melee_pipeline.schema.beside import Beside
from melee_pipeline.schema.field import Version
from melee_pipeline.sources.extract import folder_replays
from melee_pipeline.tensors.derive import derive, read_packable
from melee_pipeline_tests.tensors.games import NEW, OLD, rich_game, table_of

NAMES = ("threats", "threat_x", "threat_y", "hitstun_left")


def slow_threats(
    frames: pa.Table, items: pa.Table, player: int, port: int
) -> list[tuple[int, float, float]]:
    """Frame by frame, item by item."""
    found = []
    rows = items.to_pylist()
    for frame, x, y in zip(
        *(frames.column(n).to_pylist() for n in ("frame", f"p{player}_x", f"p{player}_y")),
        strict=True,
    ):
        here = [r for r in rows if r["frame"] == frame and r["owner"] != port]
        here = [r for r in here if math.isfinite(r["x"]) and math.isfinite(r["y"])]
        if not here:
            found.append((0, 0.0, 0.0))
            continue
        near = min(here, key=lambda r: math.hypot(r["x"] - x, r["y"] - y))
        away = [max(-127.0, min(127.0, near[axis] - at)) for axis, at in (("x", x), ("y", y))]
        found.append((len(here), *away))
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_threats_are_what_a_plain_loop_finds(seed: int, tmp_path: Path) -> None:
    replay = read_replay(write_slp(rich_game(120, seed=seed), tmp_path / "game.slp"))
    frames, items = replay.table(), replay.beside(Beside.ITEMS)
    table = derive(frames, items, [0, 2], NEW)
    for player, port in enumerate((0, 2)):
        columns = [table.column(f"p{player}_{name}").to_pylist() for name in NAMES[:3]]
        wanted = slow_threats(frames, items, player, port)
        assert len({count for count, _, _ in wanted}) > 3, "or this test sees nothing"
        for found, true in zip(zip(*columns, strict=True), wanted, strict=True):
            assert found == pytest.approx(true, abs=1e-4)


def test_hitstun_counts_only_while_in_hitstun(tmp_path: Path) -> None:
    table = table_of(rich_game(200), tmp_path)
    for player in range(2):
        columns = (f"p{player}_{name}" for name in ("state_flags_3", "hitstun", "hitstun_left"))
        for flags, anything, left in zip(
            *(table.column(c).to_pylist() for c in columns), strict=True
        ):
            assert left == (int(max(0, min(255, anything))) if flags & 2 else 0)


def test_who_hit_last_is_told_from_the_players_side(tmp_path: Path) -> None:
    """Ports 1 and 3, as in most games: what they say of a hit depends on who sits there."""
    replay = read_replay(write_slp(rich_game(200), tmp_path / "game.slp"))
    table = derive(replay.table(), replay.beside(Beside.ITEMS), [0, 2], NEW)
    for own, other, player in ((0, 2, 0), (2, 0, 1)):
        ports = table.column(f"p{player}_last_hit_by").to_pylist()
        assert set(ports) == set(range(7)), "or this test sees nothing"
        told = ["nobody" if p == 6 else {own: "self", other: "other"}.get(p, "else") for p in ports]
        names = ("nobody", "self", "other", "else")
        assert [names[i] for i in table.column(f"p{player}_hit_by").to_pylist()] == told


@pytest.mark.parametrize(("version", "missing"), [(OLD, NAMES[:3]), ((1, 0, 0), NAMES), (NEW, ())])
def test_what_a_replay_does_not_record_is_null(
    version: Version, missing: tuple[str, ...], tmp_path: Path
) -> None:
    table = table_of(rich_game(60, version=version), tmp_path)
    for name in NAMES:
        nulls = table.column(f"p1_{name}").null_count
        assert nulls == (60 if name in missing else 0), name


def test_a_game_without_items_has_no_threats(tmp_path: Path) -> None:
    replay = read_replay(write_slp(rich_game(60), tmp_path / "game.slp"))
    table = derive(replay.table(), replay.beside(Beside.ITEMS).slice(0, 0), [0, 2], NEW)
    for name in NAMES[:3]:
        assert not any(table.column(f"p0_{name}").to_pylist())


@pytest.mark.replays
def test_a_games_own_projectiles_threaten_only_the_other(
    real_replays: dict[str, Path], tmp_path: Path
) -> None:
    """Read back from disk, ports and all, for real games with items that have owners."""
    seen = 0
    for md5, path in sorted(real_replays.items()):
        replay = read_replay(path)
        owners = set(replay.beside(Beside.ITEMS).column("owner").to_pylist()) - {None, -1}
        ports = [int(player.port[1:]) - 1 for player in replay.players]
        if len(ports) != 2 or not owners & set(ports):
            continue
        folder = tmp_path / f"{md5}-replay"
        folder.mkdir()
        shutil.copy(path, folder)
        parse_files(folder_replays(folder), tmp_path / md5, Quiet(), workers=0)
        [game] = [p for p in (tmp_path / md5).glob("*.parquet") if p.stem != "index"]
        table = read_packable(game)
        wanted = derive(replay.table(), replay.beside(Beside.ITEMS), ports, replay.version)
        assert table.equals(wanted)
        seen += 1
        if seen == 2:
            break
    assert seen == 2
