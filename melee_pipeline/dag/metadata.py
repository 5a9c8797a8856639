"""Stamps to what the UI shows: numbers under stable keys, tables and pictures."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from melee_pipeline.dag import checks, pictures
from melee_pipeline.store import Stamp, Store, read_json

Row = Mapping[str, Any]

if TYPE_CHECKING:
    Result = dg.MaterializeResult[None]
else:
    Result = dg.MaterializeResult  # Dagster reads annotations, and knows the bare class only


def _result(
    stamp: Stamp,
    found: Sequence[dg.AssetCheckResult],
    metadata: Mapping[str, Any],
) -> Result:
    common: dict[str, Any] = {
        "made_now": stamp.fresh,
        "made_at": dg.MetadataValue.timestamp(datetime.fromisoformat(stamp.made_at)),
        "data_version": stamp.version,
        "made_from": table([{"input": k, "version": v} for k, v in stamp.inputs.items()]),
    }
    return dg.MaterializeResult(
        metadata={key: _short(value) for key, value in {**metadata, **common}.items()},
        data_version=dg.DataVersion(stamp.version),
        check_results=list(found),
    )


def table(rows: Sequence[Row]) -> dg.MetadataValue[Any]:
    """Rows of equal keys as a table; what is missing is a dash."""
    if not rows:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table(
        [dg.TableRecord({key: _cell(value) for key, value in row.items()}) for row in rows]
    )


def _cell(value: object) -> int | float | str:
    if value is None:
        return "–"
    return _short(value) if isinstance(value, (int, float, str)) else str(value)


def _short(value: Any) -> Any:  # noqa: ANN401 - what it is given, as it is unless it is a float
    """Six digits of a float: artefacts keep the rest, which only makes pages wide."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def archive(stamp: Stamp) -> Result:
    """replay_archive: where it came from."""
    report = dict(stamp.report)
    url = str(stamp.facts.get("url") or "")
    link = dg.MetadataValue.url(url) if url else dg.MetadataValue.path(str(stamp.facts["file"]))
    numbers = {key: value for key, value in report.items() if isinstance(value, (int, float))}
    metadata = {"url": link, "sha256": stamp.version, "bytes": stamp.facts["bytes"], **numbers}
    return _result(stamp, checks.check_archive(stamp), metadata)


def replays(store: Store, stamp: Stamp) -> Result:
    """extracted_replays: what came out and what was skipped."""
    skipped = stamp.report["skipped"]
    metadata = {
        "replays": stamp.report["replays"],
        "bytes": stamp.report["bytes"],
        "skipped": table([{"reason": k, "files": v} for k, v in skipped.items()]),
        "folder": dg.MetadataValue.path(str(stamp.facts["folder"])),
    }
    return _result(stamp, checks.check_replays(store, stamp), metadata)


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
        "parsed_now": stamp.report["parsed_now"] if stamp.fresh else 0,
        "refused": table([{"reason": k, "files": v} for k, v in refused.items()]),
        "characters_by_stage": dg.MetadataValue.md(pictures.characters_by_stage(rows)),
        "lengths": dg.MetadataValue.md(pictures.game_lengths(rows)),
        "index": dg.MetadataValue.path(str(store.index(stamp.name))),
        "dagster/column_schema": dg.TableSchema(columns=columns),
    }
    return _result(stamp, checks.check_games(store, stamp), metadata)


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
    return _result(stamp, checks.check_shards(store, stamp), metadata)


def training_set(store: Store, stamp: Stamp) -> Result:
    """training_set: games per source and split."""
    from melee_pipeline.tensors.training_set import not_joined

    report = stamp.report
    doubles = report["duplicates_left_out"]
    metadata = {
        "dagster/row_count": report["games"],
        "games": report["games"],
        "frames": report["frames"],
        "data_fingerprint": stamp.facts["data_fingerprint"],
        "by_source": table(
            [{"games" if k == "len" else k: v for k, v in r.items()} for r in report["by_source"]]
        ),
        "duplicates_left_out": table([{"source": k, "games": v} for k, v in doubles.items()]),
        "missing_sources": table(
            [{"source": name, "why": why} for name, why in not_joined(store).items()]
        ),
    }
    return _result(stamp, checks.check_training_set(store), metadata)


def checkpoint(store: Store, stamp: Stamp, knobs: Row) -> Result:
    """checkpoint: curves, epochs, and the walk back to archives and URLs."""
    from melee_pipeline.lineage import read_lineage, sources_of

    run = store.root / str(stamp.facts["run"])
    manifest = read_json(run / "manifest.json")
    rows = [
        {
            "source": s.source,
            "games": len(s.md5s),
            "location": s.location,
            "fetched_at": s.fetched_at,
            "shards": s.shards[:12],
            "sha256": s.sha256,
        }
        for s in sources_of(read_lineage(run))
    ]
    last = manifest["all_epochs"][-1]
    numbers = {key: value for key, value in last.items() if isinstance(value, (int, float))}
    wandb_url = manifest["wandb_url"]
    metadata = {
        "curves": dg.MetadataValue.md(pictures.embed(run / "curves.png")),
        "lineage": table(rows),
        "version": run.name,
        "data_fingerprint": manifest["data_fingerprint"],
        "training_set": manifest["training_set"],
        **({"wandb": dg.MetadataValue.url(wandb_url)} if wandb_url else {}),
        "run_folder": dg.MetadataValue.path(str(run)),
        "manifest": dg.MetadataValue.path(str(run / "manifest.json")),
        "git_commit": str(manifest["git_commit"] or "not in a repository"),
        **numbers,
        "epochs": table(manifest["all_epochs"]),
        "config": dg.MetadataValue.json(manifest["config"]),
        "overridden": table([{"knob": k, "value": str(v)} for k, v in knobs.items()]),
    }
    return _result(stamp, checks.check_checkpoint(store, stamp), metadata)


def evaluation(store: Store, stamp: Stamp) -> Result:
    """evaluation: the model against trivial baselines."""
    folder = store.root / str(stamp.facts["run"])
    pngs = {
        Path(name).stem: dg.MetadataValue.md(pictures.embed(folder / name))
        for name in stamp.facts["pictures"]
    }
    beaten = dg.AssetCheckResult(
        passed=bool(stamp.report["beats_baselines"]),
        check_name="beats_baselines",
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"worse_in": ", ".join(stamp.report["lost_to_baselines"]) or "nothing"},
    )
    metadata = {
        "measured_on": f"{stamp.report['games']} {stamp.report['split']} games",
        "checkpoint": stamp.inputs["checkpoint"],
        "against_baselines": table(stamp.report["table"]),
        **pngs,
        **stamp.report["model"],
    }
    return _result(stamp, [beaten], metadata)
