"""Tables on the terminal: what the commands end with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from melee_pipeline.checkpoints import MANIFEST
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
    from melee_pipeline.training.config import TrainConfig

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


def print_table(table: Table) -> None:
    Console().print(table)


def print_line(text: str) -> None:
    """Print text as it is, at once: a reader that has gone is noticed here, not at the exit."""
    print(text, flush=True)


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


def print_wide(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], long: Sequence[str]
) -> None:
    """A table where it fits. Where it does not, nothing is cut: the columns that are `long` go
    below their row, each on a line of its own, so that a URL or a hash can be copied."""
    console = Console()
    lines = [list(row) for row in rows]
    table = simple(title, columns, lines)
    anywhere = console.options.update(max_width=1_000_000)
    if console.measure(table, options=anywhere).maximum <= console.width:
        console.print(table)
        return
    short = [i for i, name in enumerate(columns) if name not in long]
    cells = [[cell(value) for value in line] for line in [columns, *lines]]
    widths = {i: max(len(line[i]) for line in cells) for i in short}
    told = [title]
    for number, line in enumerate(cells):
        told.append("  ".join(line[i].ljust(widths[i]) for i in short).rstrip())
        if number:
            wide = [i for i in range(len(columns)) if i not in short]
            told += [f"    {columns[i]}: {line[i]}" for i in wide if line[i] != "–"]
    print_line("\n".join(told))


def _print_rows(
    title: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, object]]
) -> None:
    print_table(
        simple(title, list(columns.values()), [[row.get(c) for c in columns] for row in rows])
    )


def print_stamps(stamps: Sequence[Stamp]) -> None:
    """One line for each step: what it made, or that it was up to date."""
    rows = []
    for stamp in stamps:
        # How many were read just now is told of a step that was done just now.
        telling = [n for n in _TELLING[stamp.stage] if stamp.fresh or n != "parsed_now"]
        numbers = [
            f"{name.replace('_', ' ')} {cell(stamp.report[name])}"
            for name in telling
            if name in stamp.report
        ]
        numbers += _left_out(stamp)
        done = "done" if stamp.fresh else "up to date"
        rows.append((stamp.stage, stamp.name, done, ", ".join(numbers), stamp.version[:12]))
    print_table(simple("Steps", ("step", "of", "", "what", "version"), rows))


def _left_out(stamp: Stamp) -> list[str]:
    """Games of the training set's sources that are in it once already."""
    doubles = stamp.report.get("duplicates_left_out", {})
    if not doubles:
        return []
    by_source = ", ".join(f"{name} {count:,}" for name, count in sorted(doubles.items()))
    return [f"duplicates left out {sum(doubles.values()):,} (of {by_source})"]


def print_experiments(experiments: Mapping[str, TrainConfig]) -> None:
    """Every experiment that can be trained."""
    rows = [
        (name, c.model.kind, c.model.encoding, c.model.context, c.epochs, c.lr)
        for name, c in experiments.items()
    ]
    columns = ("experiment", "model", "encoding", "context", "epochs", "lr")
    print_table(simple("Experiments", columns, rows))


def print_sources(store: Store, catalog: Mapping[str, Source]) -> None:
    """Every source: where it is, and how many games it has given."""
    from melee_pipeline.sources.catalog import REMOVED

    rows = []
    out = set(store.names(REMOVED)) - set(store.names(SHARDS))
    for name, source in sorted(catalog.items()):
        parsed = store.stamp(GAMES, name)
        fetched = "fetched" if store.stamp(ARCHIVE, name) else "–"
        state = f"{parsed.report['games']:,} games" if parsed else fetched
        state = "taken out" if name in out else state
        rows.append((name, source.kind, cell(source.replays), state, _where(source)))
    print_wide("Sources", ("name", "kind", "replays", "state", "where"), rows, ["where"])


def _where(source: Source) -> str:
    """Where a source's archives are, so that a browser finds them."""
    drive = source.kind == "google_drive"
    links = [
        f"https://drive.google.com/file/d/{place}" if drive and "://" not in place else place
        for place in source.locations
    ]
    return ", ".join(links) or "–"


def print_verdicts(verdicts: Iterable[str]) -> None:
    """How many files were kept, and why the others were not."""
    print_table(simple("Files", ("verdict", "files"), Counter(verdicts).most_common()))


def print_epochs(store: Store, stamp: Stamp) -> None:
    """The table of a run's epochs: losses, and the measures on the games that validate."""
    epochs = read_json(store.root / stamp.facts["run"] / MANIFEST)["all_epochs"]
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
    heads = [(name, f"{loss:.4f}") for name, loss in report["losses"].items() if loss is not None]
    print_table(simple("Loss by head", ("head", stamp.name), heads))
    if lost := report["lost_to_baselines"]:
        Console().print(f"Not better than every baseline in: {', '.join(lost)}")


def print_lineage(lineage: Mapping[str, Any]) -> None:
    """The walk back, one line for each source."""
    print_line(f"Training set {lineage['training_set']['version']}")
    print_wide(
        f"data_fingerprint {lineage['data_fingerprint']}",
        ("source", "games", "from", "sha256", "bytes", "fetched"),
        [
            (s.source, len(s.md5s), s.location, s.sha256, s.bytes, s.fetched_at)
            for s in sources_of(lineage)
            if s.md5s
        ],
        ["from", "sha256"],
    )


def print_description(name: str, facts: Mapping[str, Any]) -> None:
    """What a model sees and predicts, and its layers."""
    layers = [(one["name"], str(one["shape"]), one["parameters"]) for one in facts["layers"]]
    print_table(simple(name, ("", ""), [(k, v) for k, v in facts.items() if k != "layers"]))
    print_table(simple("Parameters", ("layer", "shape", "parameters"), layers))
