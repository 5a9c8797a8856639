"""Tensor shards: packed games of one source, a few hundred to a memory-mapped file.

A shard is a safetensors file. Its tensors are `records` (tensors.records: a frame's blocks side
by side, the games one after another), `ends` (the row at which each game ends) and `available`
(which fields each game records). Its header says which layout it has and which games it holds.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from melee_pipeline.errors import ArtefactError, SchemaMismatchError
from melee_pipeline.locks import one_at_a_time
from melee_pipeline.progress import Progress
from melee_pipeline.replays.index import KEPT, read_index
from melee_pipeline.replays.source import games_version
from melee_pipeline.schema.encoding import encoding
from melee_pipeline.schema.rows import bytes_per_frame, packed_fields, place_of, rows_hash
from melee_pipeline.schema.table import ENCODINGS
from melee_pipeline.sources.catalog import REMOVED
from melee_pipeline.store import (
    GAMES,
    SHARDS,
    Stamp,
    Store,
    atomic_file,
    atomic_folder,
    file_sha256,
)
from melee_pipeline.tensors.derive import read_packable
from melee_pipeline.tensors.encode import PackedGame, pack_game, unpack_values
from melee_pipeline.tensors.records import shard_layout
from melee_pipeline.versions import ENCODER_VERSION

if TYPE_CHECKING:
    from torch import Tensor

GAMES_PER_SHARD = 256  # some 200 MB: bounds the memory of the writer, not of a reader


@dataclass(frozen=True, slots=True)
class ShardGame:
    """What a shard's header says of one of its games."""

    md5: str
    content: str  # equal for two recordings of the same game: index.IndexRow
    packed: str  # hash of its packed rows and mask: encode.PackedGame


@dataclass(frozen=True, slots=True)
class ShardGames:
    """An opened shard: its records, memory-mapped, and its games."""

    records: Tensor  # (rows, width) uint8
    listed: list[ShardGame]
    ends: Tensor  # (G,) int64
    available: Tensor  # (G, F) bool

    @property
    def md5s(self) -> list[str]:
        """The games, in order."""
        return [game.md5 for game in self.listed]

    def games(self) -> Iterator[tuple[str, PackedGame]]:
        """Each game's MD5 and what it was packed as, copied game by game."""
        first = 0
        games = zip(self.md5s, self.ends.tolist(), self.available.numpy(), strict=True)
        for md5, end, available in games:
            blocks = shard_layout().split(self.records[first:end])
            yield md5, PackedGame({k: block.numpy() for k, block in blocks.items()}, available)
            first = end


@one_at_a_time
def build_shards(store: Store, source: str, progress: Progress) -> Stamp:
    """Pack the kept games of a source. Nothing is done when the shards are of these very games.

    Raises ArtefactError for a source that was taken out, also since its run began.
    """
    if store.stamp(REMOVED, source):
        raise ArtefactError(
            f"{source} was removed; to have it again: melee-pipeline sources add {source} LOCATION"
        )
    parsed = store.need(GAMES, source, f"--source {source}")
    inputs = {"games": parsed.version, "rows": rows_hash(), "encoder": ENCODER_VERSION}
    found = store.current(SHARDS, source, inputs)
    if found and _all_there(store, found):
        return found
    games = _kept_games(store, parsed)
    tally = _Tally()
    hashes: list[str] = []
    sizes: dict[str, int] = {}
    with (
        atomic_folder(store.shards(source)) as folder,
        progress.task(f"{source}: encode", len(games), "games") as advance,
    ):
        for number, first in enumerate(range(0, len(games), GAMES_PER_SHARD)):
            packed: dict[str, PackedGame] = {}
            some = dict(list(games.items())[first : first + GAMES_PER_SHARD])
            for md5 in some:
                tally.pack(store.games(source) / f"{md5}.parquet", packed)
                advance(1)
            if packed:
                target = folder / f"{number:04d}.safetensors"
                write_shard(target, source, packed, some)
                sizes[target.name] = target.stat().st_size
                hashes.append(file_sha256(target))
    version = shards_version(hashes, rows_hash())
    return store.put(
        Stamp(
            SHARDS,
            source,
            inputs,
            version,
            report=tally.report(),
            facts={
                "rows": rows_hash(),
                "games": tally.games,
                "shards": sizes,
            },
            upstream=[parsed.record()],
        )
    )


def shards_version(hashes: Iterable[str], rows: str) -> str:
    """Data version of a source's shards: of their files' SHA-256, in order, and their layout."""
    digest = hashlib.sha256("".join(hashes).encode()).hexdigest()
    return hashlib.sha256(f"{digest} {rows}".encode()).hexdigest()


def shard_paths(store: Store, shards: Stamp) -> list[Path]:
    """The shards that a source's stamp lists, in order."""
    return [store.shards(shards.name) / name for name in shards.facts["shards"]]


def _all_there(store: Store, shards: Stamp) -> bool:
    paths = zip(shard_paths(store, shards), shards.facts["shards"].values(), strict=True)
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _kept_games(store: Store, parsed: Stamp) -> dict[str, str]:
    """Contents of the kept games by MD5, in the order of MD5s.

    Raises ArtefactError when the index tells of other games than the stamp: a parse was killed
    before its end.
    """
    rows = [row for row in read_index(store.index(parsed.name)) if row.verdict == KEPT]
    if games_version(rows) != parsed.version:
        raise ArtefactError(
            f"{store.index(parsed.name)} lists other games than were recorded; parse them again: "
            f"melee-pipeline run --source {parsed.name}"
        )
    return {row.md5: row.content or "" for row in sorted(rows, key=lambda row: row.md5)}


def write_shard(
    path: Path, source: str, games: Mapping[str, PackedGame], contents: Mapping[str, str]
) -> None:
    """Write the games of a shard, by MD5; `contents` by MD5, too."""
    from safetensors.numpy import save_file

    packed = list(games.values())
    tensors: dict[str, Any] = {
        "records": np.concatenate([shard_layout().join(game.rows) for game in packed]),
        "ends": np.cumsum([game.frames for game in packed], dtype=np.int64),
        "available": np.stack([game.available for game in packed]),
    }
    header = {
        "kind": "shard",
        "rows": rows_hash(),
        "encoder": ENCODER_VERSION,
        "source": source,
        "games": [[md5, contents[md5], game.hash] for md5, game in games.items()],
    }
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata={"melee_pipeline": json.dumps(header)})


def open_shard(path: Path) -> ShardGames:
    """Open a shard without reading it. Raises SchemaMismatchError when it was packed otherwise."""
    from safetensors import SafetensorError, safe_open

    again = f"encode again: melee-pipeline run --source {path.parent.name}"
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("melee_pipeline", "{}"))
            expected = {"kind": "shard", "rows": rows_hash(), "encoder": ENCODER_VERSION}
            found = {key: header.get(key) for key in expected}
            if found != expected:
                raise SchemaMismatchError(f"shard {path}", expected, found, again)
            records, ends, available = map(file.get_tensor, ("records", "ends", "available"))
    except (SafetensorError, OSError) as error:
        raise ArtefactError(
            f"{path} is not a readable shard ({error}); delete {path.parent} and {again}"
        ) from error
    return ShardGames(records, [ShardGame(*game) for game in header["games"]], ends, available)


class _Tally:
    """Counts what was packed, for the report."""

    def __init__(self) -> None:
        self.games = self.frames = 0
        self.left_out: dict[str, str] = {}
        self.recorded: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.ranges: dict[str, tuple[float, float]] = {}

    def pack(self, path: Path, packed: dict[str, PackedGame]) -> None:
        """Pack one game into `packed`, or note why it stays out."""
        try:
            game = pack_game(read_packable(path))
        except SchemaMismatchError:
            raise
        except ArtefactError as error:
            self.left_out[path.stem] = str(error)
            return
        packed[path.stem] = game
        self.games += 1
        self.frames += game.frames
        for recorded, field in zip(game.available, packed_fields(), strict=True):
            if recorded:
                self.recorded[field.name] += 1
                block, column = place_of(field.name)
                values = unpack_values(field, game.rows[block][..., column])
                low, high = self.ranges.get(field.name, (np.inf, -np.inf))
                self.ranges[field.name] = (
                    min(low, float(values.min())),
                    max(high, float(values.max())),
                )
        for version in ENCODINGS:
            for slot in (*encoding(version).category, *encoding(version).shared):
                block, column = place_of(slot.field.name)
                ids = game.rows[block][..., column]
                self.unknown[f"{version} {slot.name}"] += int((ids >= slot.vocabulary.size).sum())

    def report(self) -> dict[str, Any]:
        """What people look at."""
        return {
            "games": self.games,
            "frames": self.frames,
            "bytes_per_frame": bytes_per_frame(),
            "left_out": self.left_out,
            "games_recording": dict(self.recorded),
            "ids_mapped_to_unknown": dict(self.unknown),
            "ranges": {name: list(span) for name, span in self.ranges.items()},
        }
