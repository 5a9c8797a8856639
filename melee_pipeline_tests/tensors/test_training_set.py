"""The training set: every game once, on one side for good, whatever arrives and in what order."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from melee_pipeline.errors import ArtefactError
from melee_pipeline.progress import Progress, Quiet
from melee_pipeline.replays.index import read_index, write_index
from melee_pipeline.replays.tables import read_game
from melee_pipeline.schema.rows import place_of
from melee_pipeline.sources.catalog import (
    Source,
    add_source,
    find_source,
    load_catalog,
    remove_source,
)
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.store import ARCHIVE, GAMES, REPLAYS, SHARDS, TRAINING_SET, Store, read_json
from melee_pipeline.tensors import join as joining
from melee_pipeline.tensors.join import build_training_set, not_joined
from melee_pipeline.tensors.records import shard_layout
from melee_pipeline.tensors.shards import build_shards
from melee_pipeline.tensors.training_set import NAME, TrainingSet, load_training_set, open_games

Rows = list[dict[str, Any]]
CONTENTS = st.lists(st.text("0123456789abcdef", min_size=8), min_size=2, max_size=80, unique=True)


def forget(store: Store, stage: str, name: str) -> None:
    """What a store looks like in which this step has never run."""
    (store.root / "stamps" / stage / f"{name}.json").unlink()


def joined(store: Store) -> TrainingSet:
    build_training_set(store, Quiet())
    return load_training_set(store)


def split(contents: list[str]) -> dict[str, str]:
    """Content -> split."""
    rows: Rows = [{"content": content} for content in contents]
    joining._assign_splits(rows)
    return {row["content"]: row["split"] for row in rows}


def lot(content: str) -> float:
    """A game's number in [0, 1), by hand."""
    return int(hashlib.sha256(f"split {content}".encode()).hexdigest()[:12], 16) / 16**12


def test_each_game_is_there_once(built_store: Store) -> None:
    """Beta's third game is alpha's first, saved again: other bytes, the same game."""
    games = load_training_set(built_store).games
    kept = [
        row
        for source in ("alpha", "beta")
        for row in read_index(built_store.index(source))
        if row.verdict == "kept"
    ]
    assert (len(kept), len({row.md5 for row in kept}), len(games)) == (7, 7, 6)
    assert set(games["content"]) == {row.content for row in kept}
    stamp = built_store.need(TRAINING_SET, NAME, "")
    assert sum(stamp.report["duplicates_left_out"].values()) == 1
    assert stamp.report["frames"] == sum(games["frames"])
    counted = [(row["source"], row["len"]) for row in stamp.report["by_source"]]
    assert sum(count for _, count in counted) == 6


def test_rows_point_at_their_games(built_store: Store) -> None:
    rows = load_training_set(built_store).games.sample(fraction=1, shuffle=True, seed=0)
    opened = open_games(built_store, rows)
    block, column = place_of("x")
    for number, row in enumerate(rows.iter_rows(named=True)):
        table = read_game(built_store.games(row["source"]) / f"{row['md5']}.parquet")
        records = opened.gather(torch.tensor([number]), torch.tensor([0]), row["frames"])
        found = shard_layout().split(records)[block][0, :, 1, column]
        true = table.column("p1_x").to_numpy()
        assert found.tolist() == np.rint(true * 32).tolist()
        recorded = table.column("p0_hitlag").null_count == 0
        assert bool(opened.available[number].all()) == recorded


@given(CONTENTS, st.randoms(use_true_random=False))
def test_the_split_hangs_on_the_content_alone(contents: list[str], random: Any) -> None:  # noqa: ANN401
    """A game's side is drawn from its content; order and company do not change it."""
    mixed = random.sample(contents, len(contents))
    assert split(mixed) == split(contents)
    by_lot = {c: "validation" if lot(c) < 0.1 else "train" for c in contents}
    moved = [c for c, side in split(contents).items() if side != by_lot[c]]
    assert len(moved) == (len(set(by_lot.values())) == 1)


@given(CONTENTS, CONTENTS)
def test_games_that_arrive_later_move_none(contents: list[str], more: list[str]) -> None:
    """Once both sides have a game, nothing ever changes sides again."""
    before = split(contents)
    if {lot(c) < 0.1 for c in contents} == {True, False}:
        after = split([*contents, *(c for c in more if c not in before)])
        assert {content: after[content] for content in before} == before


@given(CONTENTS)
def test_no_side_is_empty(contents: list[str]) -> None:
    assert set(split(contents).values()) == {"train", "validation"}


def test_about_a_tenth_validates() -> None:
    sides = list(split([f"{i:032x}" for i in range(5000)]).values())
    assert 0.08 < sides.count("validation") / 5000 < 0.12


def test_adding_a_source_adds_its_games_and_changes_no_other(own_store: Store) -> None:
    both = load_training_set(own_store)
    stamp = own_store.need(SHARDS, "beta", "")
    forget(own_store, SHARDS, "beta")
    alone = joined(own_store)
    assert set(alone.games["source"]) == {"alpha"}
    assert alone.version != both.version
    assert alone.fingerprint != both.fingerprint
    order = dict(both.games.select("content", "order").iter_rows())
    assert {c: order[c] for c in alone.games["content"]} == dict(
        alone.games.select("content", "order").iter_rows()
    )
    own_store.put(stamp)
    again = joined(own_store)
    assert (again.version, again.fingerprint) == (both.version, both.fingerprint)
    assert again.games.equals(both.games)


def test_max_games_takes_always_the_same_ones(built_store: Store) -> None:
    """A larger max_games has every game of a smaller one."""
    training_set = load_training_set(built_store)
    sides = {side: set(training_set.split(side)["md5"]) for side in ("train", "validation")}
    assert not sides["train"] & sides["validation"]
    assert len(sides["train"]) + len(sides["validation"]) == 6
    smaller: set[str] = set()
    by_lot = training_set.games.filter(training_set.games["split"] == "train").sort("order")["md5"]
    for count in range(1, 8):
        some = set(training_set.split("train", count)["md5"])
        assert len(some) == min(count, len(sides["train"]))
        assert smaller <= some == set(by_lot[:count])
        smaller = some


def test_the_fingerprint_is_of_the_set_of_games(built_store: Store) -> None:
    training_set = load_training_set(built_store)
    listed = json.dumps(sorted(training_set.games["md5"]))
    assert training_set.fingerprint == hashlib.sha256(listed.encode()).hexdigest()[:12]


def test_names_of_sources_do_not_choose_between_copies() -> None:
    """Else renaming a source would change the set's fingerprint."""
    copies = ("a" * 32, "b" * 32)
    for names in (("alpha", "beta"), ("beta", "alpha")):
        rows = [
            {"source": name, "md5": md5, "content": "the same", "frames": 2000}
            for name, md5 in zip(names, copies, strict=True)
        ]
        kept, doubles = joining._once(rows)
        assert [row["md5"] for row in kept] == ["a" * 32]
        assert doubles == {names[1]: 1}


def test_a_copy_that_was_cut_short_gives_way_to_the_whole_game() -> None:
    rows = [
        {"source": "s", "md5": md5 * 32, "content": "the same", "frames": frames}
        for md5, frames in (("a", 1900), ("b", 5000))
    ]
    kept, doubles = joining._once(rows)
    assert ([row["md5"] for row in kept], doubles) == (["b" * 32], {"s": 1})


def test_joining_again_does_nothing(own_store: Store, quiet: Progress) -> None:
    before = own_store.training_set.stat().st_mtime_ns
    assert not build_training_set(own_store, quiet).fresh
    assert own_store.training_set.stat().st_mtime_ns == before
    own_store.training_set.unlink()
    assert build_training_set(own_store, quiet).fresh


def test_a_source_without_shards_is_reported(own_store: Store, quiet: Progress) -> None:
    forget(own_store, SHARDS, "beta")
    build_training_set(own_store, quiet)
    assert not_joined(own_store) == {"beta": "parsed, but not encoded yet"}


def test_a_source_that_was_parsed_again_is_reported(own_store: Store) -> None:
    assert not_joined(own_store) == {}
    parsed = own_store.need(GAMES, "beta", "")
    own_store.put(replace(parsed, version="another"))
    assert not_joined(own_store) == {"beta": "parsed again since it was encoded"}
    own_store.put(parsed)
    own_store.put(replace(own_store.need(SHARDS, "alpha", ""), version="another"))
    assert not_joined(own_store) == {"alpha": "encoded since the set was joined"}


def test_what_is_parsed_by_now_does_not_change_the_set(own_store: Store, quiet: Progress) -> None:
    """The list says what the shards hold, not what the index holds since."""
    before = load_training_set(own_store)
    index = read_index(own_store.index("alpha"))
    others = [replace(row, md5="0" * 32, table_hash="0") for row in index]
    write_index(own_store.index("alpha"), others)
    forget(own_store, TRAINING_SET, NAME)
    build_training_set(own_store, quiet)
    after = load_training_set(own_store)
    assert (after.version, after.fingerprint) == (before.version, before.fingerprint)


def test_a_removed_source_leaves_the_set(own_store: Store, quiet: Progress) -> None:
    where = find_source(own_store, "beta").location or ""
    stays = remove_source(own_store, "beta")
    assert stays == [own_store.games("beta"), own_store.shards("beta")]
    assert "beta" not in load_catalog(own_store)
    with pytest.raises(ArtefactError, match="beta was removed; to have it again: melee-pipeline"):
        build_shards(own_store, "beta", quiet)  # a step of a run that was between two
    assert not_joined(own_store) == {}, "it is out on purpose"
    build_training_set(own_store, quiet)
    assert set(load_training_set(own_store).games["source"]) == {"alpha"}
    # Added again it is as any other source.
    add_source(own_store, "beta", where)
    assert not_joined(own_store) == {"beta": "parsed, but not encoded yet"}
    build_shards(own_store, "beta", quiet)
    assert not_joined(own_store) == {"beta": "encoded since the set was joined"}


def test_a_source_of_the_package_can_leave_the_set(own_store: Store, quiet: Progress) -> None:
    """It stays in the catalogue, and is not asked for until it is fetched again."""
    where = find_source(own_store, "beta").location
    own_store.user_catalog.unlink()
    for stage in (ARCHIVE, REPLAYS, GAMES, SHARDS):
        own_store.put(replace(own_store.need(stage, "beta", ""), name="gang"))
        forget(own_store, stage, "beta")
    assert not_joined(own_store) == {"gang": "encoded since the set was joined"}
    remove_source(own_store, "gang")
    build_training_set(own_store, quiet)
    assert set(load_training_set(own_store).games["source"]) == {"alpha"}
    assert "gang" in load_catalog(own_store)
    assert not_joined(own_store) == {}
    fetch_archive(own_store, Source(name="gang", kind="local", location=where), quiet)
    assert not_joined(own_store) == {"gang": "parsed, but not encoded yet"}


def test_errors_say_what_to_do(own_store: Store, quiet: Progress) -> None:
    empty = Store(own_store.root.parent / "empty")
    first = r"yet; run first: melee-pipeline run --source NAME \(melee-pipeline sources list"
    with pytest.raises(ArtefactError, match=f"no source has been encoded in .* {first}"):
        build_training_set(empty, quiet)
    with pytest.raises(ArtefactError, match=f"no training set has been joined in .* {first}"):
        load_training_set(empty)
    forget(own_store, TRAINING_SET, NAME)
    with pytest.raises(ArtefactError, match=r"yet; run first: melee-pipeline run$"):
        load_training_set(own_store)
    build_training_set(own_store, quiet)
    games = load_training_set(own_store).games
    shard = own_store.root / games["shard"][0]
    shard.unlink()
    with pytest.raises(ArtefactError, match=f"{shard} of the training set is gone; run again"):
        open_games(own_store, games)


def test_shards_that_were_made_again_are_not_taken_for_the_old_ones(own_store: Store) -> None:
    """A list that points into other games would train on the wrong rows in silence."""
    games = load_training_set(own_store).games
    swapped = games.with_columns(md5=pl.col("md5").sort_by("md5", descending=True).over("source"))
    assert set(swapped["md5"]) == set(games["md5"])
    assert len(open_games(own_store, games)) == 6
    with pytest.raises(ArtefactError, match=r"holds other games than .* join it again"):
        open_games(own_store, swapped)


def test_sources_without_games_are_named(own_store: Store, quiet: Progress) -> None:
    for source in ("alpha", "beta"):
        shards = own_store.need(SHARDS, source, "")
        own_store.put(replace(shards, facts={**shards.facts, "shards": {}}))
    forget(own_store, TRAINING_SET, NAME)
    with pytest.raises(ArtefactError, match="none of alpha, beta has a game to train on"):
        build_training_set(own_store, quiet)


def test_nothing_of_the_set_tells_a_files_name(built_store: Store) -> None:
    """File names can hold players' names: they stay in the index."""
    stamp = Path(built_store.root / "stamps" / TRAINING_SET / f"{NAME}.json")
    assert "game-" not in json.dumps(read_json(stamp)["report"])
    assert "game-" not in load_training_set(built_store).games.write_json()
