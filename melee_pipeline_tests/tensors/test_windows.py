"""Windows: the one-gather batches against a slow, obvious reading sample by sample."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from melee_pipeline.errors import ArtefactError
from melee_pipeline.store import Store
from melee_pipeline.tensors import windows as windowing
from melee_pipeline.tensors.records import RecordLayout
from melee_pipeline.tensors.training_set import load_training_set, open_games
from melee_pipeline.tensors.windows import Batch, OpenGames, Windows

FIELDS = 3  # width of the availability mask of the games made here
RECORDS = RecordLayout.of([("player_i2", "i2", (2, 1)), ("frame_f4", "f4", (1,))])


@dataclass(frozen=True)
class Layout:
    """Games over several shards: which shard each lies in, its frames, and the context asked."""

    shards: list[int]
    lengths: list[int]
    context: int

    @property
    def samples(self) -> list[tuple[int, int]]:
        """(game, target frame) of every sample, in order: the obvious way."""
        return [
            (game, frame)
            for game, length in enumerate(self.lengths)
            for frame in range(self.context, length)
        ]


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    lengths = draw(st.lists(st.integers(1, 14), min_size=1, max_size=7))
    shards = draw(st.lists(st.integers(0, 2), min_size=len(lengths), max_size=len(lengths)))
    return Layout(shards, lengths, draw(st.integers(1, max(1, max(lengths) - 1))))


def tag(game: int, frame: int) -> int:
    """What lies in a row: which game and frame it is."""
    return 100 * game + frame


def open_layout(layout: Layout) -> OpenGames:
    """Games whose every cell says where it is; between games of a shard lie rows of nobody."""
    records = []
    start = [0] * len(layout.lengths)
    for shard in range(3):
        tags: list[int] = []
        for game in [g for g, s in enumerate(layout.shards) if s == shard]:
            tags += [-1] * 3
            start[game] = len(tags)
            tags += [tag(game, frame) for frame in range(layout.lengths[game])]
        rows = np.array(tags, np.int16)
        players = np.stack([rows, rows + 10_000], 1)[..., None]  # (N, P, 1)
        joined = RECORDS.join({"player_i2": players, "frame_f4": rows[:, None].astype("f4")})
        records.append(torch.from_numpy(joined).view(-1, RECORDS.width))
    return OpenGames(
        records,
        RECORDS,
        torch.tensor(layout.shards),
        torch.tensor(start),
        torch.tensor(layout.lengths),
        torch.arange(len(start))[:, None].remainder(2).bool().expand(-1, FIELDS),
    )


def expected(layout: Layout, sample: int) -> list[int]:
    game, target = layout.samples[sample]
    return [tag(game, frame) for frame in range(target - layout.context, target + 1)]


def tags_of(batch: Batch) -> list[list[int]]:
    found: list[list[int]] = batch.frames["frame_f4"][..., 0].int().tolist()
    return found


@given(layouts(), st.data())
def test_a_batch_is_what_reading_one_by_one_gives(layout: Layout, data: st.DataObject) -> None:
    if not layout.samples:
        with pytest.raises(ArtefactError, match="nothing to learn"):
            Windows(open_layout(layout), layout.context)
        return
    windows = Windows(open_layout(layout), layout.context)
    assert len(windows) == len(layout.samples)
    some = data.draw(st.lists(st.integers(0, len(windows) - 1), min_size=1, max_size=20))
    batch = windows.batch(torch.tensor(some))
    wanted = [expected(layout, sample) for sample in some]
    assert tags_of(batch) == wanted
    players = batch.frames["player_i2"]
    assert players.dtype == torch.int16
    assert players[..., 0, 0].tolist() == wanted
    assert (players[..., 1, 0] - players[..., 0, 0] == 10_000).all()
    games = [layout.samples[sample][0] for sample in some]
    assert batch.available.tolist() == [[bool(game % 2)] * FIELDS for game in games]


@given(layouts(), st.integers(1, 9), st.integers(0, 2**32))
def test_an_epoch_has_every_sample_once(layout: Layout, size: int, seed: int) -> None:
    if not layout.samples:
        return
    windows = Windows(open_layout(layout), layout.context)
    everything = [expected(layout, sample) for sample in range(len(windows))]
    assert [w for batch in windows.batches(size, None) for w in tags_of(batch)] == everything
    shuffled = list(windows.batches(size, seed))
    assert {len(batch.available) for batch in shuffled[:-1]} <= {size}
    seen = Counter(tuple(w) for batch in shuffled for w in tags_of(batch))
    assert seen == Counter(map(tuple, everything))


@given(layouts())
def test_no_window_crosses_the_border_of_a_game(layout: Layout) -> None:
    if not layout.samples:
        return
    for batch in Windows(open_layout(layout), layout.context).batches(4, None):
        for window in tags_of(batch):
            assert min(window) >= 0
            assert len({value // 100 for value in window}) == 1
            assert [b - a for a, b in pairwise(window)] == [1] * layout.context


@given(layouts())
def test_locate_names_game_and_target(layout: Layout) -> None:
    if not layout.samples:
        return
    windows = Windows(open_layout(layout), layout.context)
    game, target = windows.locate(torch.arange(len(windows)))
    assert list(zip(game.tolist(), target.tolist(), strict=True)) == layout.samples


@given(layouts(), st.integers(1, 5), st.integers(0, 12))
def test_windows_that_predict_many_frames_predict_each_once(
    layout: Layout, count: int, first: int
) -> None:
    """From `first` on, in every game that is long enough; a game's last window overlaps."""
    start = max(first, layout.context)
    wanted = {
        tag(game, frame)
        for game, length in enumerate(layout.lengths)
        if length >= layout.context + count
        for frame in range(start, length)
    }
    if not wanted:
        with pytest.raises(ArtefactError, match="nothing to learn"):
            Windows(open_layout(layout), layout.context, count, first)
        return
    windows = Windows(open_layout(layout), layout.context, count, first)
    assert windows.frames == len(wanted)
    seen: list[int] = []
    for batch in windows.batches(3, 7):
        for window, new in zip(tags_of(batch), batch.new.tolist(), strict=True):
            assert len(window) == layout.context + count
            assert [b - a for a, b in pairwise(window)] == [1] * (len(window) - 1)
            assert len({value // 100 for value in window}) == 1
            assert 1 <= new <= count
            seen += window[len(window) - new :]
    assert Counter(seen) == Counter(wanted)


LONG = Layout([0, 1, 0], [60, 3, 45], 4)


def epoch(seed: int, skip: int = 0) -> list[Tensor]:
    windows = Windows(open_layout(LONG), LONG.context)
    return [batch.frames["frame_f4"] for batch in windows.batches(8, seed, skip)]


def test_a_seed_gives_one_order_and_another_seed_another() -> None:
    one, same, other = (torch.cat(epoch(seed)) for seed in (7, 7, 8))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("at_once", [1, 2, 3, 128])
@pytest.mark.parametrize("skip", [0, 1, 5, 12, 13])
def test_an_epoch_that_was_cut_off_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch, at_once: int, skip: int
) -> None:
    whole = epoch(7)
    assert len(whole) == 13  # 97 windows
    monkeypatch.setattr(windowing, "ORDERED_AT_ONCE", at_once)
    rest = epoch(7, skip)
    assert len(rest) == len(whole) - skip
    assert all(torch.equal(a, b) for a, b in zip(whole[skip:], rest, strict=True))


def test_games_without_enough_frames_are_named_in_the_error() -> None:
    with pytest.raises(ArtefactError, match="none of the 3 games has the 61 frames of a window"):
        Windows(open_layout(LONG), 60)


@given(layouts(), st.integers(0, 2**32))
def test_games_in_the_memory_of_a_device_are_the_same(layout: Layout, seed: int) -> None:
    """Copied whole as one shard, against the maps of three."""
    if not layout.samples:
        return
    mapped = open_layout(layout)
    whole = mapped.to("cpu")
    assert (len(whole.shards), whole.shards[0].nbytes) == (1, mapped.nbytes)
    assert mapped.nbytes == sum(layout.lengths) * RECORDS.width
    one, other = (Windows(games, layout.context).batches(4, seed) for games in (mapped, whole))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.records, b.records)
        assert torch.equal(a.available, b.available)


def test_real_shards_in_the_memory_of_a_device_are_the_same(built_store: Store) -> None:
    games = open_games(built_store, load_training_set(built_store).split("train"))
    assert len(games.shards) == 2
    one, other = Windows(games, 10), Windows(games.to("cpu"), 10)
    assert len(one) == len(other) == int(games.lengths.sum()) - 10 * len(games)
    for a, b in zip(one.batches(2000, 0), other.batches(2000, 0), strict=True):
        assert a.frames.keys() == b.frames.keys()
        assert all(torch.equal(block, b.frames[name]) for name, block in a.frames.items())
        assert torch.equal(a.available, b.available)


def test_opened_games_are_memory_mapped(built_store: Store) -> None:
    """Nothing of the frames is read or copied: the tensors are the files' own pages."""
    games = open_games(built_store, load_training_set(built_store).split("train"))
    maps = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(".safetensors"):
            maps.append([int(part, 16) for part in line.split()[0].split("-")])
    for records in games.shards:
        first = records.data_ptr()
        assert any(low <= first and first + records.nbytes <= high for low, high in maps)
