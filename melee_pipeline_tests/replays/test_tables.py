"""The tables of a parsed game: items and Nana beside the frames, and what is left of a crash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from melee_pipeline.cli import app
from melee_pipeline.errors import ArtefactError
from melee_pipeline.progress import Progress
from melee_pipeline.replays.filters import Filters
from melee_pipeline.replays.game import Game, Player, roll_back
from melee_pipeline.replays.index import read_index
from melee_pipeline.replays.parse import parse_files
from melee_pipeline.replays.tables import beside_path, read_beside, read_game
from melee_pipeline.schema.beside import Beside
from melee_pipeline.schema.columns import beside_schema, game_schema
from melee_pipeline.sources.extract import folder_replays
from melee_pipeline_tests.replays.games import FALCO, small_game, write_games

CLIMBERS = Filters(ice_climbers=True)


def with_items(game: Game) -> Game:
    """Two items: one on rows 10 to 19, one on rows 15 to 24."""
    rows = np.r_[10:15, np.repeat(np.arange(15, 20), 2), 20:25]
    ids = np.array([1] * 5 + [1, 2] * 5 + [2] * 5, np.uint32)
    items = {"row": rows, "item.id": ids, "item.position.x": rows.astype("f4") + ids}
    return replace(game, items=items)


def with_nana(game: Game) -> Game:
    return replace(game, fighters=(*game.fighters, replace(game.fighters[0], follower=True)))


@pytest.fixture
def parsed(tmp_path: Path, quiet: Progress) -> Path:
    """A game with items, rollback and Nana, parsed; the path of its frames."""
    game = with_items(with_nana(small_game(players=(Player(2, 14), Player(3, FALCO)))))
    [path] = write_games(tmp_path / "in", roll_back(game, 700, 5))
    files = folder_replays(path.parent)
    [row] = parse_files(files, tmp_path / "out", quiet, filters=CLIMBERS, workers=0).rows
    return tmp_path / "out" / f"{row.md5}.parquet"


def test_items_lie_beside_the_frames(parsed: Path) -> None:
    items = read_beside(parsed, Beside.ITEMS)
    assert items.schema.equals(beside_schema(Beside.ITEMS))
    frames, ids = items.column("frame").to_numpy(), items.column("id").to_numpy()
    assert frames[ids == 1].tolist() == list(range(-113, -103))
    assert frames[ids == 2].tolist() == list(range(-108, -98))
    np.testing.assert_array_equal(items.column("x").to_numpy(), frames + 123 + ids)


def test_nana_has_the_columns_of_a_player(parsed: Path) -> None:
    nana, popo = read_beside(parsed, Beside.FOLLOWERS), read_game(parsed)
    assert nana.column("player").unique().to_pylist() == [0]
    for name in nana.column_names[2:]:
        assert nana.column(name).equals(popo.column(f"p0_{name}")), name


def test_a_game_without_such_rows_has_no_such_file(parsed: Path) -> None:
    assert not beside_path(parsed, Beside.STAGE_EVENTS).exists()
    empty = read_beside(parsed, Beside.STAGE_EVENTS)
    assert empty.schema.equals(beside_schema(Beside.STAGE_EVENTS))
    assert empty.num_rows == 0


def test_every_game_reads_back_with_the_same_schema(parsed: Path) -> None:
    assert read_game(parsed).schema.equals(game_schema())
    assert pq.read_schema(parsed).names == game_schema().names


def test_another_table_beside_than_was_written_is_refused(parsed: Path) -> None:
    beside_path(parsed, Beside.ITEMS).write_bytes(b"something else")
    with pytest.raises(ArtefactError, match=r"is not what .* was written with; parse again"):
        read_beside(parsed, Beside.ITEMS)


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("damage", ["items", "page", "cut", "gone"])
def test_what_a_power_cut_damaged_is_made_again(
    parsed: Path, quiet: Progress, damage: str, indexed: bool
) -> None:
    out = parsed.parent
    before = {path: path.read_bytes() for path in out.rglob("*.parquet")}
    content = bytearray(parsed.read_bytes())
    if damage == "items":
        beside_path(parsed, Beside.ITEMS).unlink()
    elif damage == "page":
        content[1000] ^= 0xFF
        parsed.write_bytes(content)
    elif damage == "cut":
        parsed.write_bytes(content[:5000])
    else:
        parsed.unlink()
    if not indexed:
        (out / "index.parquet").unlink()
    files = folder_replays(out.parent / "in")
    again = parse_files(files, out, quiet, filters=CLIMBERS, workers=0)
    assert again.parsed_now == 1
    assert {path: path.read_bytes() for path in out.rglob("*.parquet")} == before


def test_filters_and_export_on_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_games(folder, small_game(300), small_game(400, seed=1, stage=14))
    out = tmp_path / "out"
    narrow = ["parse", str(folder), "--out", str(out), "--workers", "1", "--min-frames", "200"]
    assert CliRunner().invoke(app, narrow, catch_exceptions=False).exit_code == 0
    reasons = [row.reason for row in read_index(out / "index.parquet")]
    assert reasons == [None, "odd stage"]
    wide = [*narrow, "--stage", "0", "--max-version", "3.16"]
    assert CliRunner().invoke(app, wide).exit_code == 0
    assert [row.reason for row in read_index(out / "index.parquet")] == [None, None]
    old = [*narrow, "--max-version", "3.9.0"]
    assert CliRunner().invoke(app, old).exit_code == 1
    assert [row.reason for row in read_index(out / "index.parquet")] == ["version", "version"]
    write_games(folder, small_game())
    export = ["export", str(folder), "--out", str(tmp_path / "slippi-ai")]
    assert CliRunner().invoke(app, export).exit_code == 0
    assert len(list((tmp_path / "slippi-ai" / "games").iterdir())) == 1
