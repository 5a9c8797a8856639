"""Tables on the terminal: what the commands end with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from melee_pipeline.lineage import sources_of
from melee_pipeline.store import (
    ARCHIVE,
    CHECKPOINT,
    EVALUATION,
    GAMES,
    REPLAYS,
    SHARDS,
    TRAINING_SET,
    Stamp,
    Store,
    read_json,
)

if TYPE_CHECKING:
    from melee_pipeline.sources.catalog import Source

_TELLING = {  # the numbers of each step's report that fit a line
    ARCHIVE: ("bytes",),
    REPLAYS: ("replays",),
    GAMES: ("files", "games", "parsed_now"),
    SHARDS: ("games", "frames", "bytes_per_frame"),
    TRAINING_SET: ("games", "frames"),
    CHECKPOINT: ("epochs", "best_validation_loss"),
    EVALUATION: ("beats_baselines",),
}

_SHORT = {  # what people compare, under names that let a table fit 80 columns
    "loss": "loss",
    "action_accuracy": "action acc",
    "action_change_accuracy": "change acc",
    "position_mae": "pos MAE",
    "damage_mae": "dmg MAE",
}


def _print(table: Table) -> None:
    Console().print(table)


def cell(value: object) -> str:
    """A value as people read it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def simple(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table of plain columns; numbers are set to the right."""
    lines = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, name in enumerate(columns):
        numbers = all(isinstance(line[i], (int, float)) for line in lines) and bool(lines)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for line in lines:
        table.add_row(*(cell(value) for value in line))
    return table


def _print_rows(
    title: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, object]]
) -> None:
    _print(simple(title, list(columns.values()), [[row.get(c) for c in columns] for row in rows]))


def print_stamps(stamps: Sequence[Stamp]) -> None:
    """One line for each step: what it made, or that it was up to date."""
    rows = []
    for stamp in stamps:
        numbers = [
            f"{name.replace('_', ' ')} {cell(stamp.report[name])}"
            for name in _TELLING[stamp.stage]
            if name in stamp.report
        ]
        done = "done" if stamp.fresh else "up to date"
        rows.append((stamp.stage, stamp.name, done, ", ".join(numbers), stamp.version[:12]))
    _print(simple("Steps", ("step", "of", "", "what", "version"), rows))


def print_sources(store: Store, catalog: Mapping[str, Source]) -> None:
    """Every source: where it is, and how many games it has given."""
    rows = []
    for name, source in sorted(catalog.items()):
        parsed = store.stamp(GAMES, name)
        fetched = "fetched" if store.stamp(ARCHIVE, name) else "–"
        state = f"{parsed.report['games']:,} games" if parsed else fetched
        rows.append((name, source.kind, cell(source.replays), state, source.location))
    _print(simple("Sources", ("name", "kind", "replays", "state", "where"), rows))


def print_verdicts(verdicts: Iterable[str]) -> None:
    """How many files were kept, and why the others were not."""
    _print(simple("Files", ("verdict", "files"), Counter(verdicts).most_common()))


def print_epochs(store: Store, stamp: Stamp) -> None:
    """The table of a run's epochs: losses, and the measures on the games that validate."""
    epochs = read_json(store.root / stamp.facts["run"] / "manifest.json")["all_epochs"]
    split = "validation" if "validation_loss" in epochs[-1] else "training"
    prefix = "validation_" if split == "validation" else ""
    columns = {"epoch": "epoch", "loss": "train loss"} if prefix else {"epoch": "epoch"}
    columns |= {f"{prefix}{key}": name for key, name in _SHORT.items()}
    _print_rows(f"{stamp.name}: measured on {split} games", columns, epochs)


def print_evaluation(stamp: Stamp) -> None:
    """Measures of a model against the baselines."""
    report = stamp.report
    columns = {"model": "model", **_SHORT, "rollout_error": "rollout"}
    title = f"{stamp.name} on {report['games']} {report['split']} game(s)"
    _print_rows(title, columns, report["table"])
    if lost := report["lost_to_baselines"]:
        Console().print(f"Not better than every baseline in: {', '.join(lost)}")


def print_lineage(lineage: Mapping[str, Any]) -> None:
    """The walk back, one line for each source."""
    training_set = lineage["training_set"]
    sources = [source for source in sources_of(lineage) if source.md5s]
    _print(
        simple(
            f"Training set {training_set['version']}, "
            f"data_fingerprint {lineage['data_fingerprint']}",
            ("source", "games", "from", "sha256", "bytes", "fetched"),
            [
                (s.source, len(s.md5s), s.location, s.sha256[:16], s.bytes, s.fetched_at)
                for s in sources
            ],
        )
    )


def print_description(name: str, facts: Mapping[str, Any]) -> None:
    """What a model sees and predicts, and its layers."""
    layers = [(one["name"], str(one["shape"]), one["parameters"]) for one in facts["layers"]]
    _print(simple(name, ("", ""), [(k, v) for k, v in facts.items() if k != "layers"]))
    _print(simple("Parameters", ("layer", "shape", "parameters"), layers))
