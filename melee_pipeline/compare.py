"""Two checkpoints side by side: their games, what these were made from, settings and code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melee_pipeline.checkpoints import MANIFEST, best_epoch
from melee_pipeline.lineage import SourceLineage, read_lineage, run_folder, sources_of, steps_of
from melee_pipeline.store import ARCHIVE, GAMES, REPLAYS, SHARDS, read_json

Pair = tuple[Any, Any]  # of the first checkpoint, of the second; None: it has no such thing
_VERSIONS = {  # which inputs of a source's steps say by which code they were made
    ARCHIVE: ("fetcher",),
    REPLAYS: ("extractor",),
    GAMES: ("parser",),
    SHARDS: ("encoder", "rows"),
}
_RESULTS = ("epoch", "loss", "validation_loss", "validation_action_change_accuracy")
_STEPS = ("location", "sha256", "replays", "parsed", "shards")  # of a source


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two checkpoints have in common, and what not."""

    runs: Pair  # their folders
    same_data: bool  # the same games, by MD5
    same_contents: bool | None  # the same games, if need be as other files; None: not recorded
    same_split: bool | None  # and the same of them validate
    data_fingerprint: Pair
    training_set: Pair
    common_games: int
    only: tuple[dict[str, list[str]], dict[str, list[str]]]  # MD5s by source
    moved: list[dict[str, str]]  # games of both out of two sources: md5, first, second
    sources: dict[str, dict[str, Pair]]  # by source, where it differs
    without_record: list[str]  # folders with no manifest: settings and trainer are not known
    settings: dict[str, Pair] | None  # that differ; None: not known of both
    code: dict[str, Pair]  # versions that differ, as far as they are known of both
    results: dict[str, Pair]  # of the best epochs


def compare(first: Path, second: Path) -> Comparison:
    """Compare two checkpoints (their files, or the folders of their runs).

    Everything is read from what lies beside them: nothing else need be on this machine.
    """
    a, b = _Run(first), _Run(second)
    both = a.games.keys() & b.games.keys()
    known = bool(a.contents and b.contents)
    without = list(dict.fromkeys(str(run.folder) for run in (a, b) if not run.manifest))
    return Comparison(
        runs=(str(a.folder), str(b.folder)),
        same_data=a.games.keys() == b.games.keys(),
        same_contents=_all(a.contents) == _all(b.contents) if known else None,
        same_split=a.contents == b.contents if known else None,
        data_fingerprint=(a.lineage["data_fingerprint"], b.lineage["data_fingerprint"]),
        training_set=(a.lineage["training_set"]["version"], b.lineage["training_set"]["version"]),
        common_games=len(both),
        only=(_missing(a.games, b.games), _missing(b.games, a.games)),
        moved=[
            {"md5": md5, "first": a.games[md5], "second": b.games[md5]}
            for md5 in sorted(both)
            if a.games[md5] != b.games[md5]
        ],
        sources=_source_differences(a.sources, b.sources),
        without_record=without,
        settings=None if without else _differences(a.settings, b.settings),
        code=_differences(a.code(trained=not without), b.code(trained=not without)),
        results={key: (a.best.get(key), b.best.get(key)) for key in _RESULTS},
    )


class _Run:
    """What lies beside a checkpoint. One that was copied without its manifest has less to say."""

    def __init__(self, checkpoint: Path) -> None:
        self.folder = run_folder(checkpoint)
        self.lineage = read_lineage(checkpoint)
        path = self.folder / MANIFEST
        self.manifest: dict[str, Any] = read_json(path) if path.exists() else {}
        self.contents: Mapping[str, list[str]] = self.manifest.get("contents", {})
        self.best = best_epoch(self.manifest) if self.manifest else {}
        self.settings = dict(_flat(self.manifest.get("config", {})))
        self.games = {md5: source for source, md5s in self.lineage["games"].items() for md5 in md5s}
        self.sources = {one.source: one for one in sources_of(self.lineage) if one.md5s}

    def code(self, *, trained: bool) -> dict[str, str]:
        """Versions of all code that had a part in it; of several sources all that occur.

        What trained it, and on which machine, is in the manifest alone.
        """
        found: defaultdict[str, set[str]] = defaultdict(set)
        for source, steps in steps_of(self.lineage).items():
            for stage, names in _VERSIONS.items() if self.lineage["games"].get(source) else ():
                for name in names:
                    found[name].add(str(steps[stage]["inputs"].get(name)))
        found["join"].add(str(self.lineage["training_set"]["inputs"].get("join")))
        if trained:
            machine = self.manifest.get("machine", {})
            for name in ("trainer", "git_commit"):
                found[name].add(str(self.manifest.get(name)))
            for name, value in machine.items():
                found[name].add(str(value))
        return {name: ", ".join(sorted(values)) for name, values in found.items()}


def _all(contents: Mapping[str, list[str]]) -> set[str]:
    return {content for split in contents.values() for content in split}


def _missing(games: Mapping[str, str], others: Mapping[str, str]) -> dict[str, list[str]]:
    """By source, the games that are not among the others."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for md5 in sorted(games.keys() - others.keys()):
        found[games[md5]].append(md5)
    return dict(sorted(found.items()))


def _source_differences(
    ours: Mapping[str, SourceLineage], theirs: Mapping[str, SourceLineage]
) -> dict[str, dict[str, Pair]]:
    found = {}
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name), theirs.get(name)
        steps = {step: (getattr(one, step, None), getattr(other, step, None)) for step in _STEPS}
        if differing := {step: pair for step, pair in steps.items() if pair[0] != pair[1]}:
            found[name] = differing
    return found


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Pair]:
    names = sorted(ours.keys() | theirs.keys())
    pairs = {name: (ours.get(name), theirs.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
