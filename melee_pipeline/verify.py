"""Whether what a checkpoint was made from is still what lies in a data root.

Every stage is hashed again and held against the record in the checkpoint's lineage, never against
a stamp: stamps change when a step runs again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melee_pipeline.checkpoints import MANIFEST
from melee_pipeline.errors import ArtefactError
from melee_pipeline.lineage import FILE_NAME, read_lineage, run_folder, steps_of
from melee_pipeline.progress import Progress
from melee_pipeline.store import (
    ARCHIVE,
    CHECKPOINT,
    GAMES,
    REPLAYS,
    SHARDS,
    Store,
    file_sha256,
    read_json,
)

MATCHES, DIFFERS, GONE, UNKNOWN = "matches", "differs", "gone", "unknown"
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One stage of one source (or the training set, or the run itself) as it is found now."""

    stage: str
    name: str  # of the source; of what else is one, its own
    state: str  # matches; differs; gone, wholly or in part; unknown: there is nothing to compare
    recorded: str  # hash, as of the day the checkpoint was made
    found: str  # hash now; empty where that is not known
    detail: str


def data_root_of(checkpoint: Path) -> Store:
    """The data root that a checkpoint lies in: three folders up from its run's."""
    above = run_folder(checkpoint).resolve().parents
    return Store(above[min(2, len(above) - 1)])


def verify(store: Store, checkpoint: Path, progress: Progress) -> list[Check]:
    """Hash again all that the checkpoint's games come from, source by source, stage by stage.

    Sources that none of the run's games is from are left out.
    """
    folder, lineage = run_folder(checkpoint), read_lineage(checkpoint)
    steps = {name: s for name, s in steps_of(lineage).items() if lineage["games"].get(name)}
    found: list[Check] = []
    with progress.task("verify", len(steps), "sources") as advance:
        for name, chain in steps.items():
            found.append(_archive(store, chain[ARCHIVE]))
            found.append(_replays(store, chain[REPLAYS], chain[ARCHIVE]))
            found.append(_games(store, chain[GAMES], lineage["games"][name]))
            found.append(_shards(store, chain[SHARDS]))
            advance(1)
    return [*found, _training_set(store, lineage), *_run(folder, lineage)]


def _place(store: Store, archive: Record) -> Path:
    """The folder (or the one file) that holds a source's archives."""
    facts = archive["facts"]
    # What was put into the data root by hand moves with it.
    local = "path" in facts and facts["kind"] == "local"
    return Path(facts["path"]).expanduser() if local else store.archives(archive["name"])


def _archive(store: Store, record: Record) -> Check:
    """Archives are hashed; loose replays are so under replays, and here told by their listing."""
    from melee_pipeline.sources.local import listing, look

    place, wrong, gone, hashes = _place(store, record), [], [], []
    for archive in record["facts"]["archives"]:
        itself = place.name == archive["name"] and not place.is_dir()
        path = place if itself else place / archive["name"]
        hashes.append(file_sha256(path) if path.is_file() else "")
        if not hashes[-1]:
            gone.append(f"{path} is gone")
        elif hashes[-1] != archive["sha256"]:
            wrong.append(f"{path} has sha256 {hashes[-1]}, had {archive['sha256']}")
    if not record["facts"]["loose"]:
        return _check(store, record, wrong, gone, hashes[0] if len(hashes) == 1 else "")
    if not place.is_dir():
        gone.append(f"the folder {place} is gone")
    if wrong or gone:
        return _check(store, record, wrong, gone)
    found = listing(place, look(place))
    if found == record["version"]:
        return _check(store, record, [], [], found)
    why = "other names, sizes or times of files than then; what they hold is told under replays"
    return _unknown(record, why, found)


def _replays(store: Store, record: Record, archive: Record) -> Check:
    from melee_pipeline.sources.extract import folder_replays, named_folders, replays_version

    if not record["facts"].get("kept", True):
        return _unknown(record, "not kept on the disk: they are what comes out of the archive")
    names = [str(one["name"]) for one in archive["facts"]["archives"]]
    folders = named_folders(store, record["name"], names)
    noted = [pair for folder in folders for pair in _noted(folder)]
    if archive["facts"]["loose"]:
        folders.append(_place(store, archive))
    gone = [f"the folder {folder} is gone" for folder in folders if not folder.is_dir()]
    here = [
        (file.name, file_sha256(file.path))
        for folder in folders
        if folder.is_dir()
        for file in folder_replays(folder)
    ]
    version = replays_version(here)
    if version == record["version"] or len(gone) == len(folders):
        return _check(store, record, [], gone, version if here else "")
    if replays_version(noted) == record["version"]:
        # File by file, as they were written down when they were extracted.
        lost = {name for name, _ in noted} - {name for name, _ in here}
        changed = len(set(here) - set(noted))
        gone += [f"{len(lost)} of {len(noted)} replays are gone"] if lost else []
        wrong = [f"{changed} replays are new or changed"] if changed else []
        return _check(store, record, wrong, gone, version)
    return _check(store, record, ["they are other files than then"], gone, version)


def _noted(folder: Path) -> list[tuple[str, str]]:
    from melee_pipeline.sources.extract import NOTE

    try:
        return [(name, sha256) for name, sha256 in read_json(folder / NOTE)["found"]["hashes"]]
    except (ArtefactError, KeyError):
        return []


def _games(store: Store, record: Record, games: Sequence[str]) -> Check:
    from melee_pipeline.replays.index import KEPT, read_index
    from melee_pipeline.replays.source import games_version

    index = store.index(record["name"])
    if not index.exists():
        return _check(store, record, [], [f"{index} is gone"])
    try:
        kept = [row for row in read_index(index) if row.verdict == KEPT]
    except (OSError, ValueError, TypeError) as error:  # Arrow's errors, or other columns
        return _check(store, record, [f"{index} cannot be read: {error}"], [])
    wrong, gone = [], []
    if games_version(kept) != record["version"]:
        left = len({row.md5 for row in kept} & set(games))
        wrong.append(f"it holds {left} of the run's {len(games)} games of this source")
    tables = [(row, index.parent / f"{row.md5}.parquet") for row in kept]
    lost = [path for row, path in tables if not path.exists()]
    damaged = [p for row, p in tables if p.exists() and file_sha256(p) != row.table_hash]
    beside = [path for _, path in tables if path.exists() and path not in damaged]
    damaged += [other for path in beside for other in _damaged_beside(path)]
    if lost:
        gone.append(f"{len(lost)} of {len(kept)} tables are gone, the first is {lost[0]}")
    if damaged:
        wrong.append(f"{len(damaged)} tables are not what was written, the first is {damaged[0]}")
    version = games_version(kept) if not lost and not damaged else ""
    return _check(store, record, wrong, gone, version)


def _damaged_beside(game: Path) -> list[Path]:
    from melee_pipeline.replays.tables import beside_hashes

    found = beside_hashes(game).items()
    return [path for path, sha256 in found if not path.exists() or file_sha256(path) != sha256]


def _shards(store: Store, record: Record) -> Check:
    from melee_pipeline.tensors.shards import shards_version

    paths = [store.shards(record["name"]) / name for name in record["facts"]["shards"]]
    gone = [f"{path} is gone" for path in paths if not path.exists()]
    if gone:
        return _check(store, record, [], gone)
    version = shards_version(map(file_sha256, paths), record["facts"]["rows"])
    wrong = [] if version == record["version"] else ["they hold other games, or other bytes"]
    return _check(store, record, wrong, [], version)


def _training_set(store: Store, lineage: Record) -> Check:
    import polars as pl
    import pyarrow.parquet as pq

    from melee_pipeline.tensors.training_set import set_version

    record, path = lineage["training_set"], store.training_set
    if not path.exists():
        return _check(store, record, [], [f"{path} is gone"])
    try:
        games = pl.DataFrame(pl.from_arrow(pq.read_table(path)))
        version = set_version(games, record["upstream"][0]["facts"]["rows"])
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        return _check(store, record, [f"{path} cannot be read: {error}"], [])
    if version == record["version"]:
        return _check(store, record, [], [], version)
    mine = {md5 for md5s in lineage["games"].values() for md5 in md5s}
    left = len(mine & set(games["md5"]))
    told = f"it holds {left} of the run's {len(mine)} games"
    grown = len(games) > int(record["facts"]["games"])
    if left == len(mine) and grown:  # as after every tournament that was added
        return _unknown(record, f"joined again since; {told}", version)
    return _check(store, record, [told], [], version)


def _run(folder: Path, lineage: Record) -> list[Check]:
    """The run's own files: its list of games, and the weights where their hashes are recorded."""
    from melee_pipeline.schema.encoding import hash_of

    games = hash_of(sorted(md5 for md5s in lineage["games"].values() for md5 in md5s))
    told = str(lineage["data_fingerprint"])
    wrong = "" if games == told else "the games it lists are not those of its data_fingerprint"
    found = [Check(CHECKPOINT, FILE_NAME, DIFFERS if wrong else MATCHES, told, games, wrong)]
    manifest = folder / MANIFEST
    try:
        files: Mapping[str, str] = read_json(manifest).get("files", {})
    except ArtefactError as error:
        state = DIFFERS if manifest.exists() else GONE
        return [*found, Check(CHECKPOINT, MANIFEST, state, "", "", str(error))]
    for name in ("best.pt", "final.pt"):
        path, sha256 = folder / name, files.get(name, "")
        here = file_sha256(path) if path.exists() else ""
        same = MATCHES if here == sha256 else DIFFERS
        state = GONE if not here else same if sha256 else UNKNOWN
        detail = {
            GONE: f"{path} is gone",
            DIFFERS: f"{path} is not what was written",
            UNKNOWN: "its hash was not recorded",
        }
        found.append(Check(CHECKPOINT, name, state, sha256, here, detail.get(state, "")))
    return found


def _unknown(record: Record, why: str, found: str = "") -> Check:
    return Check(record["stage"], record["name"], UNKNOWN, record["version"], found, why)


def _check(
    store: Store, record: Record, wrong: Sequence[str], gone: Sequence[str], found: str = ""
) -> Check:
    """What came of comparing a stage; says, too, when it was made again since."""
    state = DIFFERS if wrong else GONE if gone else MATCHES
    now = store.stamp(record["stage"], record["name"])
    again = now is not None and now.version != record["version"] and state != MATCHES
    details = [f"made again at {now.made_at}"] if now is not None and again else []
    detail = "; ".join([*details, *wrong, *gone])
    return Check(record["stage"], record["name"], state, record["version"], found, detail)
