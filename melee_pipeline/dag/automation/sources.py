"""A tournament arrives: each of the user's own sources is brought in, by one run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from melee_pipeline.dag.assets.data import encoded_shards
from melee_pipeline.dag.automation.inbox import take_inbox
from melee_pipeline.dag.automation.settings import MOST_RUNS, SENSOR_SECONDS
from melee_pipeline.dag.automation.settled import Settled
from melee_pipeline.dag.automation.tries import (
    PARTITION_TAG,
    known_version,
    request,
    unfinished_runs,
)
from melee_pipeline.dag.jobs import add_source
from melee_pipeline.dag.partitions import SAMPLE, SOURCES
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.errors import CatalogError, MeleePipelineError
from melee_pipeline.portable import portable
from melee_pipeline.sources.catalog import Source, own_sources
from melee_pipeline.store import ARCHIVE, GAMES, SHARDS, Stamp, Store


@dg.sensor(
    job=add_source,
    minimum_interval_seconds=SENSOR_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Brings in your own sources: those of `melee-pipeline sources add` or sources.yaml in the "
        "data root, and what lies in its `inbox` folder. Each source gets one run, and another "
        "when its entry or its files change; one that fails is tried three times. The sources "
        "that come with the package are large: launch add_source for those yourself."
    ),
)
def new_sources(context: dg.SensorEvaluationContext, data_root: DataRoot) -> dg.SensorResult:
    """Asks for the runs that bring the user's sources up to date."""
    store, instance = data_root.store(), context.instance
    settled = Settled(context.cursor)
    try:
        notes, sources = take_inbox(store, settled), own_sources(store)
    except CatalogError as error:
        return dg.SensorResult(
            skip_reason=f"no source can be brought in before this is put right: {error}",
            cursor=context.cursor,
        )
    busy = {run.tags.get(PARTITION_TAG) for run in unfinished_runs(instance)}
    requests: list[dg.RunRequest] = []
    for source in sources.values():
        if source.name == SAMPLE:
            continue
        if source.name in busy:
            notes.append(f"{source.name}: its run is queued or in progress")
            continue
        try:
            answer = _next_run(store, instance, source, settled)
        except MeleePipelineError as error:  # what is wrong with one source holds up no other
            answer = str(error)
        if isinstance(answer, dg.RunRequest):
            requests.append(answer)
        elif answer:
            notes.append(f"{source.name}: {answer}")
    if len(requests) > MOST_RUNS:
        notes.append(f"{len(requests) - MOST_RUNS} more sources at the next look")
    requests = requests[:MOST_RUNS]
    known = set(instance.get_dynamic_partitions(str(SOURCES.name)))
    new = [key for one in requests if (key := str(one.partition_key)) not in known]
    if requests:
        for note in notes:
            context.log.info(note)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else "\n".join(notes) or "all of your sources are up to date",
        dynamic_partitions_requests=[SOURCES.build_add_request(new)] if new else [],
        cursor=settled.cursor,
    )


def _next_run(
    store: Store, instance: dg.DagsterInstance, source: Source, settled: Settled
) -> dg.RunRequest | str | None:
    """The run that a source wants, or why it gets none; None when all is done."""
    origin, reason = _origin(store, source, settled)
    shards = store.stamp(SHARDS, source.name)
    if shards and _made_from(shards, origin) and _made_as(store, shards, source):
        known = known_version(instance, encoded_shards.key, source.name)
        if known == shards.version:
            return None
    if reason:
        return reason
    work = {
        "source": source.model_dump(exclude={"note", "replays"}),
        "from": dict(origin),
        "over": shards.made_at if shards else "",
    }
    return request(instance, work, source.name, made=shards is not None)


def _origin(store: Store, source: Source, settled: Settled) -> tuple[Mapping[str, str], str | None]:
    """What the archive's stamp would name as its inputs now, and why it cannot be made yet."""
    if source.kind not in ("local", "manual") and source.location is not None:
        locations = " ".join(source.locations)
        return {"location": locations, "announced_sha256": source.sha256 or ""}, None
    at_hand = source.kind == "local" and source.location
    path = Path(str(source.location)).expanduser() if at_hand else store.archives(source.name)
    listed, reason = settled.listing(path)
    return {"location": str(path), "listing": listed}, reason


def _made_from(shards: Stamp, origin: Mapping[str, str]) -> bool:
    """Whether shards go back to an archive of this origin."""
    inputs = _chain(shards)[ARCHIVE]["inputs"]
    return all(inputs.get(key) == portable(value) for key, value in origin.items())


def _made_as(store: Store, shards: Stamp, source: Source) -> bool:
    """Whether shards were made with the filters that the source's entry names now."""
    from melee_pipeline.replays.source import source_filters

    wanted = source_filters(store, source.name).fingerprint()
    return str(_chain(shards)[GAMES]["facts"]["parser"]).endswith(f"-{wanted}")


def _chain(shards: Stamp) -> dict[str, Mapping[str, Any]]:
    """The records that shards go back to, by stage."""
    record: Mapping[str, Any] = shards.record()
    found = {str(record["stage"]): record}
    while record["upstream"]:
        [record] = record["upstream"]
        found[str(record["stage"])] = record
    return found
