"""From a source's archive to its tensor shards: four assets, one partition for each source."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from melee_pipeline.dag.checks import check, only_what_passes
from melee_pipeline.dag.metadata import Result
from melee_pipeline.dag.metadata import sources as show
from melee_pipeline.dag.partitions import SOURCES
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.errors import BusyError, PassingDownloadError
from melee_pipeline.versions import ENCODER_VERSION, EXTRACTOR_VERSION, PARSER_VERSION

OWNERS = ["team:melee-pipeline"]
TRIES, FIRST_WAIT = 3, 30  # more tries of what may mend itself, and seconds before the first


@contextmanager
def again_later(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Ask for another try when a download may mend itself, or another process has the source.

    Whatever else fails (a wrong link, a source fetched by hand) is the same in a minute.
    """
    try:
        yield
    except (PassingDownloadError, BusyError) as error:
        wait = FIRST_WAIT * 2**context.retry_number
        raise dg.RetryRequested(max_retries=TRIES, seconds_to_wait=wait) from error


@dg.asset(
    partitions_def=SOURCES,
    group_name="replays",
    kinds={"file"},
    owners=OWNERS,
    pool="download",
    check_specs=[
        check("replay_archive", "is_an_archive", "The file opens as the archive it claims to be."),
        check(
            "replay_archive",
            "announced_size",
            "It is as large as was announced.",
        ),
    ],
)
def replay_archive(context: dg.AssetExecutionContext, data_root: DataRoot) -> Result:
    """The source's archive, downloaded and verified (or a local file or folder, in place).

    A finished download is never fetched again; one that broke off is resumed.

    - `url` (or a path), `sha256`, `bytes`: where all lineage ends
    - `seconds`, `resumed_from`: how the download went
    - `made_now`: false when this run found everything done already, as in all assets here
    """
    from melee_pipeline.sources.catalog import find_source
    from melee_pipeline.sources.download import fetch_archive

    store = data_root.store()
    source = find_source(store, context.partition_key)
    with again_later(context):
        stamp = fetch_archive(store, source, data_root.progress(context.log))
    return show.archive(stamp)


@dg.asset(
    partitions_def=SOURCES,
    deps=[replay_archive],
    group_name="replays",
    kinds={"file"},
    owners=OWNERS,
    code_version=EXTRACTOR_VERSION,
    pool="cpu",
    check_specs=[
        check("extracted_replays", "has_replays", "At least one replay came out of the archive."),
        check("extracted_replays", "stays_inside", "No member points outside the folder."),
    ],
)
def extracted_replays(context: dg.AssetExecutionContext, data_root: DataRoot) -> Result:
    """The `.slp` files of the archive; a source's loose files are used where they lie.

    - `replays`, `bytes`: what came out
    - `skipped`: what else the archive held, by reason (macOS resource files, other files, …)
    - `folder`: where they lie
    """
    from melee_pipeline.sources.extract import extract_replays

    store = data_root.store()
    with again_later(context):
        stamp = extract_replays(store, context.partition_key, data_root.progress(context.log))
    return show.replays(store, stamp)


@dg.asset(
    partitions_def=SOURCES,
    deps=[extracted_replays],
    group_name="games",
    kinds={"parquet"},
    owners=OWNERS,
    code_version=PARSER_VERSION,
    pool="cpu",
    check_specs=[
        check("parsed_games", "failure_rate", "Fewer than half of the files are unreadable."),
        check("parsed_games", "schema", "Every table has the columns of the field table."),
        check("parsed_games", "frames_without_gaps", "Frame ids run from −123 without gaps."),
        check("parsed_games", "same_as_peppi", "A few games are read as peppi reads them."),
    ],
)
def parsed_games(context: dg.AssetExecutionContext, data_root: DataRoot) -> Result:
    """One Parquet table per game, in game units, and an index with a row for every file met.

    Choose a source in the *Partitions* tab:

    - `files` = `games` + `refused_files`; `refused` counts these by reason: no file is lost in
      silence, each has its row in `index`
    - `parsed_now`: files read in this run; the others were parsed before
    - `lengths`, `most_played`, and behind *Show Markdown* the heat map `characters_by_stage`
    - *Columns* names every column with its unit
    """
    from melee_pipeline.replays.source import parse_source

    store = data_root.store()
    with again_later(context):
        stamp = parse_source(store, context.partition_key, data_root.progress(context.log))
    return only_what_passes(store, stamp, show.games(store, stamp))


@dg.asset(
    partitions_def=SOURCES,
    deps=[parsed_games],
    group_name="tensors",
    kinds={"pytorch"},
    owners=OWNERS,
    code_version=ENCODER_VERSION,
    pool="cpu",
    check_specs=[
        check("encoded_shards", "finite_and_in_range", "Stored numbers are finite and plausible."),
        check("encoded_shards", "round_trip", "Shards give back the tables, within tolerance."),
    ],
)
def encoded_shards(context: dg.AssetExecutionContext, data_root: DataRoot) -> Result:
    """The games, packed for training: memory-mapped shards that every encoding version reads.

    - `games`, `frames`, `bytes_per_frame`
    - `ranges`: the least and the greatest of each field, and how many games record it
    - `ids_mapped_to_unknown`: values that a category has no class for; `left_out`: games that
      cannot be packed, with the reason
    - *Columns* leads from each packed field to the Parquet columns it is made from
    """
    from melee_pipeline.tensors.shards import build_shards

    store = data_root.store()
    with again_later(context):
        stamp = build_shards(store, context.partition_key, data_root.progress(context.log))
    return only_what_passes(store, stamp, show.shards(store, stamp))
