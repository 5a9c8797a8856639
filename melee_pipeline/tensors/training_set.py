"""The training set: which games, from which shards, in which split. join.py makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from melee_pipeline.errors import ArtefactError
from melee_pipeline.schema.encoding import hash_of
from melee_pipeline.schema.rows import rows_hash
from melee_pipeline.store import (
    SHARDS,
    TRAINING_SET,
    Stamp,
    Store,
)
from melee_pipeline.tensors.shards import ShardGame, open_shard

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from melee_pipeline.tensors.windows import OpenGames

Split = Literal["train", "validation"]
VALIDATION_SHARE = 0.1
NAME = "training_set"  # the one training set's stamp
FIRST = "run first: melee-pipeline run --source NAME (melee-pipeline sources list shows the names)"


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The list of games and what it was made from."""

    games: pl.DataFrame  # one row a game: see _games_of and _assign_splits
    stamp: Stamp

    @property
    def version(self) -> str:
        """Data version: changes with the games, what a model can learn of them, and the split."""
        return self.stamp.version

    @property
    def fingerprint(self) -> str:
        """Short hash of the set of games, whatever shards they lie in."""
        return str(self.stamp.facts["data_fingerprint"])

    def split(self, split: Split, max_games: int | None = None) -> pl.DataFrame:
        """Games of a split, at most `max_games`, always the same ones in the same order."""
        import polars as pl

        mine = self.games.filter(pl.col("split") == split).sort("order")
        return mine.head(max_games if max_games is not None else len(mine))


def set_version(games: pl.DataFrame, rows: str) -> str:
    """Data version of a training set: of its games, what is packed of them, and the split."""
    return hash_of(
        {
            "rows": rows,
            "games": games.sort("content").select("content", "packed", "split").rows(),
        }
    )


def load_training_set(store: Store) -> TrainingSet:
    """The training set as last joined. Raises ArtefactError when there is none.

    So it does while another is being joined: its games are not those that the stamp tells of.
    """
    import polars as pl

    stamp = store.stamp(TRAINING_SET, NAME)
    if stamp is None:
        first = "run first: melee-pipeline run" if store.names(SHARDS) else FIRST
        raise ArtefactError(f"no training set has been joined in {store.root} yet; {first}")
    try:
        games = pl.read_parquet(existing(store.training_set))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArtefactError(
            f"{store.training_set} cannot be read ({error}); join it again: melee-pipeline run"
        ) from error
    if set_version(games, rows_hash()) != stamp.version:
        raise ArtefactError(
            f"{store.training_set} was joined by another version of this program, or is being "
            "joined now; join it again: melee-pipeline run"
        )
    return TrainingSet(games, stamp)


def open_games(store: Store, games: pl.DataFrame) -> OpenGames:
    """Games of a training set (some of its rows), memory-mapped, in the order given."""
    import numpy as np
    import polars as pl
    import torch

    from melee_pipeline.tensors.records import shard_layout
    from melee_pipeline.tensors.windows import OpenGames

    names = games["shard"].unique(maintain_order=True)
    shards = [open_shard(existing(store.root / name)) for name in names]
    shard = games["shard"].replace_strict(names, range(len(names)), return_dtype=pl.Int64)
    # A game's place in the list of all games of these shards, from which its mask is taken.
    before = np.cumsum([0, *(len(one.md5s) for one in shards)])
    place = before[shard.to_numpy()] + games["number"].to_numpy()
    _same_games(games, [game for one in shards for game in one.listed], place)
    masks = torch.cat([one.available for one in shards])
    return OpenGames(
        [one.records for one in shards],
        shard_layout(),
        shard.to_torch(),
        games["first"].to_torch(),
        games["frames"].to_torch(),
        masks[torch.from_numpy(place)],
    )


def existing(path: Path) -> Path:
    """The path. Raises ArtefactError that says how to make it again."""
    if not path.exists():
        source = "" if path.parent.name == NAME else f" --source {path.parent.name}"
        raise ArtefactError(
            f"{path} of the training set is gone; run again: melee-pipeline run{source}"
        )
    return path


def _same_games(games: pl.DataFrame, listed: list[ShardGame], place: NDArray[np.int64]) -> None:
    """Raises ArtefactError when the shards are not those that the training set was joined from."""
    import numpy as np
    import polars as pl

    # Beyond the end, where the last shard holds fewer games than it did, stands none.
    there = pl.Series([*(f"{game.md5} {game.packed}" for game in listed), ""])
    found = there[np.minimum(place, len(listed))]
    if not (same := found == games["md5"] + " " + games["packed"]).all():
        name = games["shard"].filter(~same)[0]
        raise ArtefactError(
            f"{name} holds other games than when the training set was joined; "
            "join it again: melee-pipeline run"
        )
