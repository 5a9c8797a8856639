"""Checks on what the assets made: each reads the artefact itself, not the step's own report.

They run inside the step that made the partition, so that a blocking failure stops what lies
downstream in the same run.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from melee_pipeline.dag.metadata import Result
from melee_pipeline.store import Stamp, Store

ROUND_TRIP_GAMES = 20  # games of a source that are compared value by value
PEPPI_GAMES = 3  # games of a source that are read a second time, by peppi
MAX_UNREADABLE = 0.5


def check(asset: str, name: str, description: str, *, blocking: bool = True) -> dg.AssetCheckSpec:
    """The declaration of a check."""
    return dg.AssetCheckSpec(name, asset=asset, description=description, blocking=blocking)


def _result(name: str, problems: Sequence[str], **facts: Any) -> dg.AssetCheckResult:  # noqa: ANN401
    metadata = {**facts, "problems": len(problems)}
    if problems:
        metadata["first_problems"] = "\n".join(problems[:10])
    return dg.AssetCheckResult(passed=not problems, check_name=name, metadata=metadata)


def only_what_passes(store: Store, stamp: Stamp, made: Result) -> Result:
    """The result as it is. The stamp of what did not pass is taken away: to the next steps, runs
    and the command line it is as if it had not been made. Dagster's blocking ends with the run."""
    if not all(result.passed for result in made.check_results or ()):
        store.forget(stamp.stage, stamp.name)
    return made


def check_archive(stamp: Stamp) -> list[dg.AssetCheckResult]:
    """Each archive on disk opens, and has the size with which it arrived.

    The download itself holds that size against what the server announced.
    """
    from melee_pipeline.sources.kinds import archive_kind

    no_kind, wrong = [], []
    for archive in stamp.facts["archives"]:
        path = Path(archive["file"])
        size = path.stat().st_size if path.exists() else 0
        if size != archive["bytes"]:
            wrong.append(f"{path.name}: {size} bytes, {archive['bytes']} had arrived")
        if not path.exists() or archive_kind(path) is None:
            no_kind.append(f"{path.name} is neither 7z, zip nor tar")
    count = len(stamp.facts["archives"])
    return [
        _result("is_an_archive", no_kind, archives=count, loose_replays=stamp.facts["loose"]),
        _result("announced_size", wrong, bytes=stamp.facts["bytes"]),
    ]


def check_replays(store: Store, stamp: Stamp) -> list[dg.AssetCheckResult]:
    """Replays are there, and each lies inside the source's folder."""
    from melee_pipeline.sources.extract import replay_files

    files = replay_files(store, stamp.name)
    roots = [Path(root).resolve() for root in stamp.facts["roots"]]
    outside = [
        f.name for f in files if not any(f.path.resolve().is_relative_to(root) for root in roots)
    ]
    # Replays that are not kept are counted by their names in the archive.
    count = len(files) if stamp.facts["kept"] else int(stamp.report["replays"])
    none = [] if count else ["no replay"]
    return [
        _result("has_replays", none, replays=count),
        _result("stays_inside", outside),
    ]


def check_games(store: Store, stamp: Stamp) -> list[dg.AssetCheckResult]:
    """Few unreadable files; tables of today's columns; frame ids −123, −122, … in each."""
    import pyarrow.parquet as pq

    from melee_pipeline.errors import ArtefactError
    from melee_pipeline.replays.filters import FIRST_FRAME, Reason
    from melee_pipeline.replays.index import KEPT, read_index
    from melee_pipeline.replays.tables import check_game

    rows = read_index(store.index(stamp.name))
    unreadable = sum(row.reason == Reason.UNREADABLE for row in rows)
    rate = unreadable / max(len(rows), 1)
    too_many = [f"{unreadable} of {len(rows)} files"] if rate > MAX_UNREADABLE else []
    schema, gaps = [], []
    for row in rows:
        if row.verdict != KEPT:
            continue
        path = store.games(stamp.name) / f"{row.md5}.parquet"
        try:
            check_game(path)
        except ArtefactError as error:
            schema.append(str(error))
            continue
        ids = pq.read_table(path, columns=["frame"])["frame"].to_numpy()
        if ids[0] != FIRST_FRAME or (ids[1:] - ids[:-1] != 1).any() or len(ids) != row.frames:
            gaps.append(f"{row.md5}: {len(ids)} frames from {ids[0]} to {ids[-1]}")
    return [
        _result("failure_rate", too_many, rate=rate),
        _result("schema", schema),
        _result("frames_without_gaps", gaps),
        _second_opinion(store, stamp, {row.name: row.md5 for row in rows if row.verdict == KEPT}),
    ]


def _second_opinion(store: Store, stamp: Stamp, kept: Mapping[str, str]) -> dg.AssetCheckResult:
    """A few games as peppi reads them; `kept`: MD5s by name. Replays may have been deleted."""
    from melee_pipeline.replays.oracle import differences
    from melee_pipeline.sources.extract import replay_files

    differ, compared = [], 0
    for file in replay_files(store, stamp.name):
        if compared < PEPPI_GAMES and file.name in kept:
            found = differences(file.path)
            compared += found is not None
            differ += [f"{kept[file.name]}: {name}" for name in found or ()]
    return _result("same_as_peppi", differ, games_compared=compared)


def check_shards(store: Store, stamp: Stamp) -> list[dg.AssetCheckResult]:
    """Numbers are within their fields' limits; a sample of games comes back as it was parsed."""
    from melee_pipeline.tensors.derive import read_packable
    from melee_pipeline.tensors.encode import implausible, round_trip_errors
    from melee_pipeline.tensors.shards import open_shard, shard_paths

    wrong, differs, compared = [], [], 0
    for path in shard_paths(store, stamp):
        for md5, game in open_shard(path).games():
            wrong += [f"{md5}: {name}" for name in implausible(game)]
            if compared < ROUND_TRIP_GAMES:
                table = read_packable(store.games(stamp.name) / f"{md5}.parquet")
                differs += [f"{md5}: {error}" for error in round_trip_errors(table, game)]
                compared += 1
    return [
        _result("finite_and_in_range", wrong),
        _result("round_trip", differs, games_compared=compared),
    ]


def check_training_set(store: Store) -> list[dg.AssetCheckResult]:
    """No game twice, and none on both sides of the split, by MD5 and by content."""
    import polars as pl

    from melee_pipeline.tensors.training_set import load_training_set

    games = load_training_set(store).games
    doubles = games.filter(games["md5"].is_duplicated() | games["content"].is_duplicated())
    splits = games.group_by("content").agg(pl.col("split").n_unique().alias("splits"))
    both = splits.filter(splits["splits"] > 1)
    return [
        _result("no_game_twice", doubles["md5"].to_list(), games=len(games)),
        _result("splits_are_apart", both["content"].to_list()),
    ]


def check_checkpoint(store: Store, stamp: Stamp) -> list[dg.AssetCheckResult]:
    """Losses are finite, and best.pt loads as the model that its config describes."""
    from melee_pipeline.errors import ArtefactError
    from melee_pipeline.training.checkpoint import load_checkpoint
    from melee_pipeline.training.run import RunFolder

    run = store.root / stamp.facts["run"]
    epochs = RunFolder(run).epochs()
    bad = [f"epoch {i + 1}: {key}" for i, row in enumerate(epochs) for key in _not_finite(row)]
    problems = []
    try:
        load_checkpoint(RunFolder(run).best)
    except ArtefactError as error:
        problems.append(str(error))
    return [_result("loss_is_finite", bad, epochs=len(epochs)), _result("loads", problems)]


def _not_finite(row: Mapping[str, Any]) -> Iterator[str]:
    import math

    for key, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            yield key
