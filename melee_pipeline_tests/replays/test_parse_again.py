"""Parsing into a folder that holds games: what is added, what stays, and which tables go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from melee_pipeline.errors import BusyError
from melee_pipeline.progress import Progress
from melee_pipeline.replays.collect import only_writer, parse_paths
from melee_pipeline.replays.filters import Filters
from melee_pipeline.replays.game import CPU, Game, Metadata, Player
from melee_pipeline.replays.index import KEPT, IndexRow, read_index
from melee_pipeline.replays.parse import parse_chunks, parse_files
from melee_pipeline.replays.tables import read_game
from melee_pipeline.replays.write import to_bytes, truncate
from melee_pipeline.sources.extract import folder_replays
from melee_pipeline.store import file_md5, file_sha256
from melee_pipeline_tests.replays.games import FALCO, FOX, small_game, write_games


def saved_again(game: Game, year: int = 2002) -> Game:
    """The same game in a file of other bytes."""
    return replace(game, metadata=Metadata(start_at=f"{year}-02-02T02:02:02Z"))


def tables(folder: Path) -> set[str]:
    """MD5s of all tables that lie in a folder, also those beside the frames."""
    return {path.stem for path in folder.rglob("*.parquet")} - {"index"}


def kept(rows: Sequence[IndexRow]) -> set[str]:
    return {row.md5 for row in rows if row.verdict == KEPT}


def assert_sound(out: Path) -> list[IndexRow]:
    """Exactly the kept games have tables, and each is the one that the index lists."""
    rows = read_index(out / "index.parquet")
    assert tables(out) == kept(rows)
    for row in rows:
        path = out / f"{row.md5}.parquet"
        assert row.table_hash == (file_sha256(path) if row.verdict == KEPT else None)
    return rows


def test_a_second_parse_adds_to_the_folder(tmp_path: Path, quiet: Progress) -> None:
    write_games(tmp_path / "a", small_game(), small_game(seed=1))
    write_games(tmp_path / "b", small_game(seed=2), small_game(500, seed=3))
    out = tmp_path / "out"
    first = parse_paths([tmp_path / "a"], out, quiet, workers=0)
    second = parse_paths([tmp_path / "b"], out, quiet, workers=0)
    assert {row.name for row in second.met} == {"b/game-0.slp", "b/game-1.slp"}
    assert second.rows == assert_sound(out)
    assert [row for row in second.rows if row.name.startswith("a/")] == first.rows
    assert len(second.kept) == 3
    # In one go they would have been the same.
    both = parse_paths([tmp_path / "a", tmp_path / "b"], tmp_path / "both", quiet, workers=0)
    assert both.rows == second.rows


def test_two_at_once_do_not_write_one_index(tmp_path: Path, quiet: Progress) -> None:
    write_games(tmp_path / "a", small_game())
    out = tmp_path / "out"
    with (
        only_writer(out),
        pytest.raises(BusyError, match=f"process {os.getpid()} is at work on {out}"),
    ):
        parse_paths([tmp_path / "a"], out, quiet, workers=0)
    parse_paths([tmp_path / "a"], out, quiet, workers=0)
    assert len(kept(assert_sound(out))) == 1


def test_a_second_parse_that_keeps_nothing_takes_nothing(tmp_path: Path, quiet: Progress) -> None:
    write_games(tmp_path / "a", small_game())
    write_games(tmp_path / "b", small_game(500))
    parse_paths([tmp_path / "a"], tmp_path / "out", quiet, workers=0)
    parsed = parse_paths([tmp_path / "b"], tmp_path / "out", quiet, workers=0)
    assert kept(parsed.met) == set()
    assert len(kept(assert_sound(tmp_path / "out"))) == 1


def test_duplicates_are_found_across_runs(tmp_path: Path, quiet: Progress) -> None:
    """In whatever order the folders come, the same copy stays, and one table."""
    game = small_game(2600)
    write_games(tmp_path / "a", game, small_game(seed=1))
    write_games(tmp_path / "b", saved_again(game), small_game(seed=1))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "cut.slp").write_bytes(truncate(to_bytes(game), 2000))
    found = []
    for number, order in enumerate(("abc", "cba", "bca")):
        out = tmp_path / f"out-{number}"
        for name in order:
            parse_paths([tmp_path / name], out, quiet, workers=0)
        rows = assert_sound(out)
        assert len(kept(rows)) == 2
        found.append([(row.name, row.verdict, row.reason, row.table_hash) for row in rows])
    assert found[0] == found[1] == found[2]


def test_the_same_file_in_two_places_is_one_game(tmp_path: Path, quiet: Progress) -> None:
    write_games(tmp_path / "a", small_game())
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for name in "ab":
        parsed = parse_paths([tmp_path / name], tmp_path / "out", quiet, workers=0)
    assert parsed.parsed_now == 0
    assert [(row.name, row.reason) for row in assert_sound(tmp_path / "out")] == [
        ("a/game-0.slp", None),
        ("b/game-0.slp", "duplicate"),
    ]


def test_other_filters_for_a_copy_count_for_the_file(tmp_path: Path, quiet: Progress) -> None:
    """One file has one table, so it has one verdict, wherever it lies."""
    cpu = (Player(1, FOX), Player(2, FALCO, type=CPU))
    write_games(tmp_path / "a", small_game(players=cpu))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    out = tmp_path / "out"
    parse_paths([tmp_path / "a"], out, quiet, filters=Filters(cpus=True), workers=0)
    assert len(kept(assert_sound(out))) == 1
    parse_paths([tmp_path / "b"], out, quiet, workers=0)
    assert [row.reason for row in assert_sound(out)] == ["CPU", "CPU"]
    parse_paths([tmp_path / "b"], out, quiet, filters=Filters(cpus=True), workers=0)
    assert [row.reason for row in assert_sound(out)] == [None, "duplicate"]


def test_a_folder_may_hold_exactly_its_files(tmp_path: Path, quiet: Progress) -> None:
    """As for a source: what has left it leaves the tables."""
    write_games(tmp_path / "a", small_game())
    write_games(tmp_path / "b", small_game(seed=1))
    for name in "ab":
        parsed = parse_files(folder_replays(tmp_path / name), tmp_path / "out", quiet, workers=0)
    assert parsed.rows == parsed.met == assert_sound(tmp_path / "out")
    assert len(parsed.rows) == 1


def test_no_table_of_a_duplicate_stays(tmp_path: Path, quiet: Progress) -> None:
    game = small_game()
    write_games(tmp_path / "in", game, saved_again(game, 2002), saved_again(game, 2003))
    files = folder_replays(tmp_path / "in")
    first = parse_files(files, tmp_path / "out", quiet, workers=0)
    assert len(kept(assert_sound(tmp_path / "out"))) == 1
    again = parse_files(files, tmp_path / "out", quiet, workers=0)
    assert (again.rows, again.parsed_now) == (first.rows, 0)


@pytest.mark.parametrize("chunk", [1, 2, 9])
def test_a_duplicate_takes_the_place_of_a_copy_that_is_gone(
    chunk: int, tmp_path: Path, quiet: Progress
) -> None:
    """Its table is made then, also where replays lie on the disk for a while only."""
    game = small_game()
    copies = [saved_again(game, year) for year in range(2000, 2005)]
    paths = write_games(tmp_path / "in", *copies, small_game(seed=1))
    out = tmp_path / "out"

    def parse_them() -> set[str]:
        files = folder_replays(tmp_path / "in")
        chunks = [files[i : i + chunk] for i in range(0, len(files), chunk)]
        parse_chunks(chunks, len(files), out, quiet, workers=0)
        return kept(assert_sound(out))

    left = sorted(file_md5(path) for path in paths[:5])
    other = file_md5(paths[5])
    by_md5 = {file_md5(path): path for path in paths}
    while left:
        assert parse_them() == {left[0], other}
        assert read_game(out / f"{left[0]}.parquet").num_rows == 2000
        by_md5[left.pop(0)].unlink()
    assert parse_them() == {other}


def test_tables_that_a_killed_run_left_go(
    tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the index and the sweep: the index tells which tables are nobody's."""
    game = small_game()
    write_games(tmp_path / "in", game, saved_again(game))
    files, out = folder_replays(tmp_path / "in"), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("melee_pipeline.replays.parse.sweep", lambda folder, md5s: None)
        parse_files(files, out, quiet, workers=0)
    assert len(tables(out)) == 2
    (out / f"{'0' * 32}.parquet").write_text("somebody's own")
    parse_files(files, out, quiet, workers=0)
    assert len(tables(out)) == 2
    (out / f"{'0' * 32}.parquet").unlink()
    assert_sound(out)
