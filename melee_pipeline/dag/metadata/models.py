"""What the training set, checkpoints and evaluations show."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from melee_pipeline.checkpoints import MANIFEST
from melee_pipeline.dag import checks, pictures
from melee_pipeline.dag.metadata import Result, Row, result, table
from melee_pipeline.store import Stamp, Store, read_json


def training_set(store: Store, stamp: Stamp) -> Result:
    """training_set: games per source and split."""
    from melee_pipeline.tensors.join import not_joined

    report = stamp.report
    doubles = report["duplicates_left_out"]
    metadata = {
        "dagster/row_count": report["games"],
        "games": report["games"],
        "frames": report["frames"],
        "data_fingerprint": stamp.facts["data_fingerprint"],
        "sources": len(stamp.upstream),
        "by_source": table(_by_source(report["by_source"])),
        "duplicates_left_out": table([{"source": k, "games": v} for k, v in doubles.items()]),
        "missing_sources": table(
            [{"source": name, "why": why} for name, why in not_joined(store).items()]
        ),
    }
    return result(stamp, checks.check_training_set(store), metadata)


def _by_source(counts: Sequence[Row]) -> list[Row]:
    """One row for each source: its games in each split, and all its frames."""
    rows: dict[str, dict[str, Any]] = {}
    for count in counts:
        row = rows.setdefault(
            count["source"], {"source": count["source"], "train": 0, "validation": 0, "frames": 0}
        )
        row[count["split"]] += count["len"]
        row["frames"] += count["frames"]
    return list(rows.values())


def checkpoint(store: Store, stamp: Stamp, knobs: Row) -> Result:
    """checkpoint: curves, epochs, and the walk back to archives and URLs."""
    from melee_pipeline.lineage import read_lineage, sources_of

    run = store.root / str(stamp.facts["run"])
    manifest = read_json(run / MANIFEST)
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
        if s.md5s  # `max_games` may leave a source out
    ]
    last = manifest["all_epochs"][-1]
    numbers = {key: value for key, value in last.items() if isinstance(value, (int, float))}
    wandb_url = manifest["wandb_url"]
    metadata = {
        "loss_curve": _curve(manifest["all_epochs"], "loss"),
        "position_curve": _curve(manifest["all_epochs"], "position_mae"),
        "curves": dg.MetadataValue.md(pictures.embed(run / "curves.png")),
        "version": run.name,
        "data_fingerprint": manifest["data_fingerprint"],
        "training_set": manifest["training_set"],
        "made_from_asset": dg.MetadataValue.asset(dg.AssetKey("training_set")),
        "lineage": table(rows),
        "game_list": dg.MetadataValue.path(str(run / "lineage.json")),
        **({"wandb": dg.MetadataValue.url(wandb_url)} if wandb_url else {}),
        "run_folder": dg.MetadataValue.path(str(run)),
        "manifest": dg.MetadataValue.path(str(run / MANIFEST)),
        "git_commit": str(manifest["git_commit"] or "not in a repository"),
        **numbers,
        "epochs": table(manifest["all_epochs"]),
        "config": dg.MetadataValue.json(manifest["config"]),
        "overridden": table([{"knob": k, "value": str(v)} for k, v in knobs.items()]),
    }
    return result(stamp, checks.check_checkpoint(store, stamp), metadata)


def _curve(epochs: Sequence[Row], key: str) -> dg.MetadataValue[Any]:
    """A measure over the epochs, as a small drawing."""
    both = {"training": key, "validation": f"validation_{key}"}
    return dg.MetadataValue.md(
        pictures.lines({name: [row.get(k) for row in epochs] for name, k in both.items()})
    )


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
        "made_from_asset": dg.MetadataValue.asset(dg.AssetKey("checkpoint")),
        "run_folder": dg.MetadataValue.path(str(folder)),
        "beats_baselines": bool(stamp.report["beats_baselines"]),
        "rollout_curve": dg.MetadataValue.md(pictures.lines(stamp.report["horizons"])),
        "against_baselines": table(stamp.report["table"]),
        **pngs,
        **stamp.report["model"],
    }
    return result(stamp, [beaten], metadata)
