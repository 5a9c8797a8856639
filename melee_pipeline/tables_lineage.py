"""Checkpoints, comparisons and verifications on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melee_pipeline.store import ARCHIVE, GAMES, REPLAYS, SHARDS
from melee_pipeline.tables import print_line, print_table, print_wide, simple

if TYPE_CHECKING:
    from melee_pipeline.checkpoints import Summary
    from melee_pipeline.compare import Comparison
    from melee_pipeline.verify import Check

_STAGES = (ARCHIVE, REPLAYS, GAMES, SHARDS)
MANY = 20  # games that are listed one by one; --json lists all


def shown(path: str) -> str:
    """A path as people would type it here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def print_checkpoints(runs: Sequence[Summary]) -> None:
    """One line for each run."""
    rows = []
    for run in runs:
        loss, change = run.validation_loss, run.action_change_accuracy
        epochs = f"{run.epochs}" if run.finished else f"{run.epochs} so far"
        when = run.written_at[:16].replace("T", " ")
        numbers = ("–",) * 5 if run.problem else (run.games, epochs, loss, change, run.evaluated)
        data = run.problem or run.data_fingerprint
        rows.append((run.experiment, when, *numbers, data, shown(run.path)))
    numbers_of = ("games", "epochs", "val loss", "change acc", "evaluated")
    columns = ("experiment", "when (UTC)", *numbers_of, "data", "run")
    print_wide("Checkpoints", columns, rows, ["data", "run"])


def print_comparison(found: Comparison) -> None:
    """What two checkpoints have in common, and what not; equal things are not listed."""
    names = [shown(run) for run in found.runs]
    print_line(f"A: {names[0]}\nB: {names[1]}")
    print_line(f"Same data: {_same(found)}")
    counts = [
        (source, *(len(only.get(source, ())) for only in found.only))
        for source in sorted(found.only[0].keys() | found.only[1].keys())
    ]
    if counts:
        print_table(
            simple(
                f"Games ({found.common_games:,} are in both)",
                ("source", "only in A", "only in B"),
                counts,
            )
        )
    for letter, only in zip("AB", found.only, strict=True):
        _print_games(f"Only in {letter}", [(s, md5) for s, md5s in only.items() for md5 in md5s])
    _print_games(
        "Of another source", [(f"{m['first']} → {m['second']}", m["md5"]) for m in found.moved]
    )
    sources = [
        (name, what, *pair) for name, steps in found.sources.items() for what, pair in steps.items()
    ]
    if sources:
        print_wide("Sources that differ", ("source", "what", "A", "B"), sources, ["A", "B"])
    if found.settings is None:
        without = ", ".join(shown(run) for run in found.without_record)
        print_line(
            f"Settings, trainer and machine: unknown; there is no manifest.json in {without}"
        )
        _print_pairs("Code that made the data", found.code)
    else:
        _print_pairs("Settings", found.settings)
        _print_pairs("Code and machine", found.code)
    print_table(simple("Best epoch", ("", "A", "B"), [(k, *v) for k, v in found.results.items()]))


def _same(found: Comparison) -> str:
    if not found.same_data:
        copies = "; but the same games, as other files" if found.same_contents else ""
        return f"no, {found.common_games:,} games are in both{copies}"
    split = {True: "the same split", False: "another split", None: "split not recorded"}
    return f"yes, {found.common_games:,} games, {split[found.same_split]}"


def _print_games(title: str, games: Sequence[tuple[str, str]]) -> None:
    if not games:
        return
    rest = len(games) - MANY
    print_table(simple(title, ("source", "MD5"), games[:MANY]))
    if rest > 0:
        print_line(f"… and {rest:,} more: --json lists all")


def _print_pairs(title: str, pairs: Mapping[str, tuple[Any, Any]]) -> None:
    if pairs:
        print_wide(title, ("", "A", "B"), [(k, *v) for k, v in pairs.items()], ["A", "B"])
    else:
        print_line(f"{title}: the same")


def print_verification(checks: Iterable[Check]) -> None:
    """A line for each source, one for what else is one, and why something does not match."""
    found = list(checks)
    by_source: dict[str, dict[str, str]] = {}
    for check in found:
        if check.stage in _STAGES:
            by_source.setdefault(check.name, {})[check.stage] = check.state
    rows = [(name, *(states[s] for s in _STAGES)) for name, states in by_source.items()]
    print_table(simple("Sources", ("source", *_STAGES), rows))
    others = [(check.name, check.state) for check in found if check.stage not in _STAGES]
    print_table(simple("The run", ("", "state"), others))
    for check in found:
        if check.detail:
            what = f"{check.name}, {check.stage}" if check.stage in _STAGES else check.name
            print_line(f"{what}: {check.state}: {check.detail}")
    counts = Counter(check.state for check in found)
    print_line(", ".join(f"{count} {state}" for state, count in counts.items()))
