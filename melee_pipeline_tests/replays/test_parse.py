"""Parsing files: verdicts, duplicates, resuming, and the same bytes whatever the workers."""

from __future__ import annotations

import gzip
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melee_pipeline.errors import ArtefactError, ReplayError, SchemaMismatchError
from melee_pipeline.progress import Progress
from melee_pipeline.replays import parse
from melee_pipeline.replays.collect import parse_paths
from melee_pipeline.replays.filters import Filters, Reason
from melee_pipeline.replays.game import CPU, GameEnd, Metadata, Player
from melee_pipeline.replays.index import IndexRow, mark_duplicates, read_index
from melee_pipeline.replays.parse import parse_files
from melee_pipeline.replays.tables import read_game
from melee_pipeline.replays.verdict import Job, parse_one
from melee_pipeline.replays.write import to_bytes, truncate, write_slp
from melee_pipeline.schema.columns import game_schema
from melee_pipeline.sources.extract import folder_replays
from melee_pipeline.store import file_md5, file_sha256
from melee_pipeline_tests.conftest import ARCHIVES
from melee_pipeline_tests.replays.games import FALCO, FOX, small_game, write_games


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of every verdict, in names that say which."""
    where = tmp_path / "replays"
    where.mkdir()
    game = small_game()
    write_slp(game, where / "a-good.slp")
    write_slp(game, where / "b-the-same-bytes.slp")
    resaved = replace(game, metadata=Metadata(start_at="2002-02-02T02:02:02Z"))
    write_slp(resaved, where / "c-the-same-game-saved-again.slp")
    write_slp(small_game(500, seed=1), where / "d-short.slp")
    write_slp(small_game(seed=2, stage=14), where / "e-odd-stage.slp")
    cpu = (Player(1, FOX), Player(2, FALCO, type=CPU))
    write_slp(small_game(seed=3, players=cpu), where / "f-cpu.slp")
    three = (Player(1, FOX), Player(2, FALCO), Player(3, FOX))
    write_slp(small_game(seed=4, players=three), where / "g-three.slp")
    items = small_game(seed=5)
    items = replace(items, start=replace(items.start, item_spawn_frequency=1))
    write_slp(items, where / "h-items.slp")
    teams = small_game(seed=6)
    write_slp(replace(teams, start=replace(teams.start, is_teams=True)), where / "i-teams.slp")
    (where / "j-empty.slp").write_bytes(b"")
    (where / "k-garbage.slp").write_bytes(b"garbage")
    climbers = (Player(1, 14), Player(2, FALCO))
    write_slp(small_game(seed=7, players=climbers), where / "l-climbers.slp")
    (where / "notes.txt").write_text("not a replay")
    return where


def test_every_file_gets_a_row_with_its_verdict(
    folder: Path, tmp_path: Path, quiet: Progress
) -> None:
    parsed = parse_files(folder_replays(folder), tmp_path / "out", quiet, workers=0)
    reasons = {row.name: row.reason for row in parsed.rows}
    doubles = {"a-good.slp", "b-the-same-bytes.slp", "c-the-same-game-saved-again.slp"}
    assert sorted(str(reasons.pop(name)) for name in doubles) == ["None", "duplicate", "duplicate"]
    assert reasons == {
        "d-short.slp": Reason.TOO_SHORT,
        "e-odd-stage.slp": Reason.ODD_STAGE,
        "f-cpu.slp": Reason.CPU,
        "g-three.slp": Reason.NOT_TWO_PLAYERS,
        "h-items.slp": Reason.ITEMS_ON,
        "i-teams.slp": Reason.TEAMS,
        "j-empty.slp": Reason.EMPTY,
        "k-garbage.slp": Reason.UNREADABLE,
        "l-climbers.slp": Reason.ICE_CLIMBERS,
    }
    assert read_index(tmp_path / "out" / "index.parquet") == parsed.rows
    [kept] = parsed.kept
    assert (kept.frames, kept.stage, kept.slippi_version) == (2000, 31, "3.16.0")
    assert read_game(tmp_path / "out" / f"{kept.md5}.parquet").num_rows == 2000


def test_the_copy_that_stays_does_not_hang_on_the_order_of_files(
    folder: Path, tmp_path: Path, quiet: Progress
) -> None:
    files = folder_replays(folder)
    one = parse_files(files, tmp_path / "one", quiet, workers=0)
    other = parse_files(files[::-1], tmp_path / "other", quiet, workers=0)
    assert one.rows == other.rows


def test_filters_change_what_is_kept(folder: Path, tmp_path: Path, quiet: Progress) -> None:
    open_door = Filters(cpus=True, ice_climbers=True, items=True, stages=frozenset(), min_frames=2)
    parsed = parse_files(folder_replays(folder), tmp_path, quiet, filters=open_door, workers=0)
    names = {row.name[0] for row in parsed.kept} - set("abc")
    assert names == {"d", "e", "f", "h", "l"}


def test_parsing_again_reads_nothing_and_changes_nothing(
    folder: Path, tmp_path: Path, quiet: Progress
) -> None:
    out = tmp_path / "out"
    first = parse_files(folder_replays(folder), out, quiet, workers=0)
    before = {path.name: file_sha256(path) for path in out.iterdir()}
    again = parse_files(folder_replays(folder), out, quiet, workers=0)
    assert (first.parsed_now, again.parsed_now) == (11, 0)
    assert {path.name: file_sha256(path) for path in out.iterdir()} == before


def test_a_cut_off_run_goes_on_from_the_tables_it_left(
    folder: Path, tmp_path: Path, quiet: Progress
) -> None:
    out = tmp_path / "out"
    first = parse_files(folder_replays(folder), out, quiet, workers=0)
    (out / "index.parquet").unlink()  # what a kill before the end leaves
    again = parse_files(folder_replays(folder), out, quiet, workers=0)
    assert again.rows == first.rows
    assert again.parsed_now == 11 - 1  # the game's table was there; all others are read again


def test_a_game_that_left_the_source_leaves_the_tables(tmp_path: Path, quiet: Progress) -> None:
    paths = write_games(tmp_path / "in", small_game(), small_game(seed=1))
    gone = file_md5(paths[1])
    parse_files(folder_replays(tmp_path / "in"), tmp_path / "out", quiet, workers=0)
    paths[1].unlink()
    parse_files(folder_replays(tmp_path / "in"), tmp_path / "out", quiet, workers=0)
    left = {path.stem for path in (tmp_path / "out").glob("*.parquet")}
    assert left == {"index", file_md5(paths[0])} - {gone}


def test_bytes_do_not_hang_on_the_number_of_workers(
    folder: Path, tmp_path: Path, quiet: Progress
) -> None:
    files = folder_replays(folder)
    for workers in (0, 1, 2):
        parse_files(files, tmp_path / str(workers), quiet, workers=workers)
    one, two = ({path.name: file_sha256(path) for path in (tmp_path / n).iterdir()} for n in "12")
    assert one == two


def test_a_table_of_other_columns_is_refused(tmp_path: Path, quiet: Progress) -> None:
    import pyarrow.parquet as pq

    [path] = write_games(tmp_path / "in", small_game())
    parse_files(folder_replays(tmp_path / "in"), tmp_path / "out", quiet, workers=0)
    game = tmp_path / "out" / f"{file_md5(path)}.parquet"
    table = pq.read_table(game)
    header = table.schema.metadata[b"melee_pipeline"].replace(b'"columns": "', b'"columns": "0')
    pq.write_table(table.replace_schema_metadata({b"melee_pipeline": header}), game)
    with pytest.raises(SchemaMismatchError, match="columns: expected"):
        read_game(game)


def test_winner_is_who_has_stocks_left(tmp_path: Path, quiet: Progress) -> None:
    game = replace(small_game(), end=GameEnd(placements={1: 1, 3: 0}))
    [path] = write_games(tmp_path / "in", game)
    [row] = parse_files(folder_replays(path.parent), tmp_path, quiet, workers=0).rows
    assert row.winner == "P3"


def test_paths_may_be_files_folders_and_archives(tmp_path: Path, quiet: Progress) -> None:
    import zipfile

    [single] = write_games(tmp_path / "single", small_game())
    write_games(tmp_path / "folder", small_game(seed=1))
    with zipfile.ZipFile(tmp_path / "games.zip", "w") as archive:
        archive.writestr("deep/er/x.slp", to_bytes(small_game(seed=2)))
        archive.writestr("y.slp.gz", gzip.compress(to_bytes(small_game(seed=3))))
    paths = [single, tmp_path / "folder", tmp_path / "games.zip"]
    parsed = parse_paths(paths, tmp_path / "out", quiet, workers=0)
    assert len(parsed.kept) == 4
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".parquet"}


def test_a_missing_path_is_named(tmp_path: Path, quiet: Progress) -> None:
    with pytest.raises(ReplayError, match=r"nowhere does not exist"):
        parse_paths([tmp_path / "nowhere"], tmp_path / "out", quiet)


def test_a_file_that_kills_its_reader_costs_one_file(
    folder: Path, tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is killed for real: the call that a process makes for one file ends it."""
    monkeypatch.setattr(parse, "parse_one", deadly)
    files = folder_replays(folder)
    parsed = parse_files(files, tmp_path / "out", quiet, workers=2)
    verdicts = {row.name: (row.reason, row.detail) for row in parsed.rows}
    assert verdicts["d-short.slp"] == (Reason.CRASHED, "its process died: SIGSEGV")
    assert verdicts["h-items.slp"] == (Reason.CRASHED, "its process died: exit code 3")
    monkeypatch.undo()
    others = parse_files(files, tmp_path / "sound", quiet, workers=0)
    for row, wanted in zip(parsed.rows, others.rows, strict=True):
        assert row.md5 == wanted.md5
        if row.name not in ("d-short.slp", "h-items.slp"):
            assert row == wanted


def deadly(job: Job) -> tuple[IndexRow | None, str]:
    """Parses a file, unless it is one of two at which the process dies."""
    if job.file.name.startswith("d-"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if job.file.name.startswith("h-"):
        os._exit(3)
    return parse_one(job)


def test_a_compressed_replay_in_a_folder_is_the_replay(tmp_path: Path, quiet: Progress) -> None:
    [path] = write_games(tmp_path / "in", small_game())
    md5 = file_md5(path)
    path.with_suffix(".slp.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    (tmp_path / "in" / "broken.slp.gz").write_bytes(b"\x1f\x8b nothing more")
    broken, kept = parse_files(folder_replays(tmp_path / "in"), tmp_path, quiet, workers=0).rows
    assert kept.md5 == md5
    assert (broken.reason, kept.verdict) == (Reason.UNREADABLE, "kept")


def test_of_copies_the_longest_stays_whatever_they_are_called(
    tmp_path: Path, quiet: Progress
) -> None:
    """A copy that was cut short is the same game, and so is one with other metadata."""
    game = small_game(2600)
    content = to_bytes(game)
    resaved = replace(game, metadata=Metadata(start_at="2002-02-02T02:02:02Z"))
    where = tmp_path / "in"
    where.mkdir()
    (where / "a.slp").write_bytes(truncate(content, len(content) * 8 // 10))
    (where / "b.slp").write_bytes(to_bytes(resaved))
    (where / "c.slp").write_bytes(content)
    write_slp(small_game(2600, seed=1), where / "d.slp")
    rows = parse_files(folder_replays(where), tmp_path / "out", quiet, workers=0).rows
    assert len({row.content for row in rows[:3]}) == 1
    longest = min(row.md5 for row in rows[1:3])
    assert {row.md5 for row in rows if row.verdict == "kept"} == {longest, rows[3].md5}


@given(st.permutations(range(6)), st.data())
def test_which_copy_stays_does_not_hang_on_arrival(order: list[int], data: st.DataObject) -> None:
    def row(number: int) -> IndexRow:
        md5, content, frames = data.draw(
            st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(2000, 2002))
        )
        base = IndexRow(f"{md5}{frames}{content}", f"{number}.slp", 1, "kept", None, None, "1")
        return replace(base, content=content, frames=frames)

    rows = [row(number) for number in range(6)]
    marked = mark_duplicates(rows)
    assert mark_duplicates([rows[i] for i in order]) == marked
    kept = [one for one in marked if one.verdict == "kept"]
    assert sorted(str(one.content) for one in kept) == sorted({str(one.content) for one in rows})
    for one in kept:
        assert one.frames == max(r.frames or 0 for r in rows if r.content == one.content)


def test_doubles_have_columns_for_each_player_and_stay_out_of_shards(
    tmp_path: Path, quiet: Progress
) -> None:
    four = tuple(Player(port, FOX, team=port % 2) for port in (1, 2, 3, 4))
    game = small_game(players=four)
    game = replace(game, start=replace(game.start, is_teams=True))
    [path] = write_games(tmp_path / "in", game)
    files = folder_replays(path.parent)
    [row] = parse_files(files, tmp_path, quiet, filters=Filters(doubles=True), workers=0).rows
    table = read_game(tmp_path / f"{row.md5}.parquet", players=4)
    assert table.schema.equals(game_schema(4))
    with pytest.raises(ArtefactError, match="has 4 players, and not 2"):
        read_game(tmp_path / f"{row.md5}.parquet")


def test_schema_has_no_names_or_codes() -> None:
    """Names and connect codes are personal data: no column or index field may hold them."""
    from melee_pipeline.replays.index import index_schema

    for name in (*game_schema().names, *index_schema().names, str(index_schema().field("players"))):
        assert not any(word in name for word in ("netplay", "code", "name_tag", "suid", "uid"))


@pytest.mark.replays
def test_tables_and_index_hold_no_names(
    replays_folder: Path, tmp_path: Path, quiet: Progress
) -> None:
    """The netplay archive's replays hold names; nothing parsed from them may."""
    from peppi_py._peppi import read_slippi

    from melee_pipeline.sources.extract import extract_archive

    extract_archive(replays_folder / "sample-netplay.7z", tmp_path / "replays", quiet)
    files = folder_replays(tmp_path / "replays")[:12]
    parse_files(files, tmp_path / "out", quiet)
    private = set()
    for file in files:
        for player in read_slippi(str(file.path), True).start["players"]:
            netplay = player.get("netplay") or {}
            private |= {netplay.get("name"), netplay.get("code"), player.get("name_tag")}
    private = {text.encode() for text in private if text and len(text) > 3}
    assert private
    for path in (tmp_path / "out").rglob("*.parquet"):
        content = path.read_bytes()
        assert not [text for text in private if text in content]


@pytest.mark.replays
def test_the_sample_archives_give_145_games(
    replays_folder: Path, tmp_path: Path, quiet: Progress
) -> None:
    """Counts are those of the description that comes with the archives: samples.csv."""
    import csv

    described = {row["md5"]: row for row in csv.DictReader((replays_folder / "samples.csv").open())}
    archives = [replays_folder / name for name in ARCHIVES]
    parsed = parse_paths(archives, tmp_path, quiet)
    kept = {row.md5: row for row in parsed.kept}
    assert set(kept) == set(described)
    for md5, row in kept.items():
        wanted = described[md5]
        assert row.slippi_version == wanted["version"]
        assert row.frames == int(wanted["distinct"])
        assert row.rows == int(wanted["rows"])
        assert row.stage == int(wanted["stage"])
        assert "/".join(p.port for p in row.players) == wanted["ports"]
        assert "/".join(str(p.character) for p in row.players) == wanted["chars"]
    assert parsed.reasons() == {"duplicate": 3, "empty file": 1}
