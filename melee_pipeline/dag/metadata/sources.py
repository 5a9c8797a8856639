"""What the assets of a source show."""

import dagster as dg

from melee_pipeline.dag import checks, pictures
from melee_pipeline.dag.metadata import Result, result, table
from melee_pipeline.store import Stamp, Store


def archive(stamp: Stamp) -> Result:
    """replay_archive: where it came from."""
    report = dict(stamp.report)
    url = str(stamp.facts.get("url") or "")
    link = dg.MetadataValue.url(url) if url else dg.MetadataValue.path(str(stamp.facts["file"]))
    numbers = {key: value for key, value in report.items() if isinstance(value, (int, float))}
    metadata = {"url": link, "sha256": stamp.version, "bytes": stamp.facts["bytes"], **numbers}
    return result(stamp, checks.check_archive(stamp), metadata)


def replays(store: Store, stamp: Stamp) -> Result:
    """extracted_replays: what came out and what was skipped."""
    skipped = stamp.report["skipped"]
    metadata = {
        "replays": stamp.report["replays"],
        "bytes": stamp.report["bytes"],
        "skipped": table([{"reason": k, "files": v} for k, v in skipped.items()]),
        "folder": dg.MetadataValue.path(str(stamp.facts["folder"])),
    }
    return result(stamp, checks.check_replays(store, stamp), metadata)


def games(store: Store, stamp: Stamp) -> Result:
    """parsed_games: verdicts, characters × stages, lengths."""
    from melee_pipeline.replays.index import read_index
    from melee_pipeline.schema.columns import game_schema

    rows = read_index(store.index(stamp.name))
    refused = stamp.report["refused"]
    columns = [
        # A list's own type names every field of its items, too long for a table of columns.
        dg.TableColumn(
            f.name, str(f.type).partition("<")[0], (f.metadata or {}).get(b"unit", b"").decode()
        )
        for f in game_schema()
    ]
    metadata = {
        "dagster/row_count": stamp.report["frames"],
        "games": stamp.report["games"],
        "frames": stamp.report["frames"],
        "files": stamp.report["files"],
        "refused_files": stamp.report["files"] - stamp.report["games"],
        "parsed_now": stamp.report["parsed_now"] if stamp.fresh else 0,
        "refused": table([{"reason": k, "files": v} for k, v in refused.items()]),
        "lengths": dg.MetadataValue.md(pictures.game_lengths(rows)),
        "most_played": table(pictures.most_played(rows)),
        "characters_by_stage": dg.MetadataValue.md(pictures.characters_by_stage(rows)),
        "index": dg.MetadataValue.path(str(store.index(stamp.name))),
        "dagster/column_schema": dg.TableSchema(columns=columns),
    }
    return result(stamp, checks.check_games(store, stamp), metadata)


def shards(store: Store, stamp: Stamp) -> Result:
    """encoded_shards: size, ranges, what games record, and which column each field is from."""
    from melee_pipeline.schema.columns import column_names
    from melee_pipeline.schema.rows import pack_of, packed_fields

    report = stamp.report
    lineage = {
        field.name: [
            dg.TableColumnDep(dg.AssetKey("parsed_games"), name) for name in column_names(field)
        ]
        for field in packed_fields()
    }
    columns = [dg.TableColumn(f.name, pack_of(f).dtype, f.unit) for f in packed_fields()]
    ranges = [
        {"field": name, "least": low, "greatest": high, "games": report["games_recording"][name]}
        for name, (low, high) in report["ranges"].items()
    ]
    metadata = {
        "dagster/row_count": report["frames"],
        "games": report["games"],
        "frames": report["frames"],
        "bytes_per_frame": report["bytes_per_frame"],
        "ranges": table(ranges),
        "ids_mapped_to_unknown": table(
            [{"category": k, "values": v} for k, v in report["ids_mapped_to_unknown"].items()]
        ),
        "left_out": table([{"md5": k, "why": v} for k, v in report["left_out"].items()]),
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/column_lineage": dg.TableColumnLineage(deps_by_column=lineage),
    }
    return result(stamp, checks.check_shards(store, stamp), metadata)
