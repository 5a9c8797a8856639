"""A source's replays in the data root: each archive extracted once, loose replays left in place."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from melee_pipeline.errors import ExtractError
from melee_pipeline.locks import one_at_a_time
from melee_pipeline.progress import Progress
from melee_pipeline.sources.catalog import load_catalog
from melee_pipeline.sources.kinds import is_archive_name, is_junk, is_replay
from melee_pipeline.sources.members import members
from melee_pipeline.sources.names import Names, safe_name
from melee_pipeline.sources.unpack import (
    JUNK,
    NOT_A_REPLAY,
    Extraction,
    Limits,
    ReplayFile,
    Unpacker,
    reason_to_skip,
)
from melee_pipeline.store import (
    ARCHIVE,
    REPLAYS,
    Stamp,
    Store,
    atomic_folder,
    file_sha256,
    read_json,
    write_json,
)
from melee_pipeline.versions import EXTRACTOR_VERSION

NOTE = ".extracted.json"  # in each archive's folder: from what, and what came out


def extract_archive(
    path: Path,
    folder: Path,
    progress: Progress,
    *,
    label: str = "extract",
    limits: Limits | None = None,
) -> Extraction:
    """Write the replays of an archive into `folder`, under their own names where those are safe.

    Raises ExtractError for what is no archive, cannot be opened or swells beyond the limits, and
    for a full disk. Where an archive is damaged, what can be read is kept and the rest counted.
    """
    unpacker = Unpacker(path, folder, limits)
    with progress.task(label, None, "replays") as advance:
        for _ in unpacker.replays():
            advance(1)
    return unpacker.found


def folder_replays(folder: Path) -> list[ReplayFile]:
    """Replays below a folder, sorted by name."""
    found = (
        ReplayFile(path, _text(path.relative_to(folder)))
        for path in folder.rglob("*")
        if is_replay(path.name)
        and path.is_file()
        and not is_junk(path.relative_to(folder).as_posix())
    )
    return sorted(found, key=lambda file: file.name)


def _text(path: Path) -> str:
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def replay_files(store: Store, source: str) -> list[ReplayFile]:
    """The replays of a source that lie on the disk, sorted by name.

    Of a source whose replays are not kept only those that were never in an archive: see chunks.py.
    """
    stamp = store.need(REPLAYS, source, f"--source {source}")
    found = [file for root in stamp.facts["roots"] for file in folder_replays(Path(root))]
    return sorted(found, key=lambda file: file.name)


@one_at_a_time
def extract_replays(
    store: Store, source: str, progress: Progress, limits: Limits | None = None
) -> Stamp:
    """Extract a source's archives. Loose replays are used in place: nothing is copied.

    An archive that was extracted before is not extracted again. Of a source with
    `keep_replays: false` the archives are only looked into: chunks.py extracts them.
    """
    archive = store.need(ARCHIVE, source, f"--source {source}")
    entry = load_catalog(store).get(source)
    keep = entry is None or entry.keep_replays
    inputs = {"archive": archive.version, "extractor": EXTRACTOR_VERSION, "kept": str(keep)}
    if (found := store.current(REPLAYS, source, inputs)) and _all_there(found):
        return found
    folder, loose = store.replays(source), _loose(archive)
    wanted = archive_folders(store, archive) if keep else {}
    _remove_others(folder, set(wanted.values()))
    results = [
        _extract_once(item, target, progress, limits, source)
        for item, target in zip(archive.facts["archives"], wanted.values(), strict=False)
    ] or [_look_into(Path(item["file"])) for item in archive.facts["archives"]]
    if loose is not None:
        results.append(_in_place(loose))
    report = _report(results)
    if keep and not report["replays"]:
        other = ", ".join(f"{count} × {why}" for why, count in report["skipped"].items())
        more = "".join(f"; {line}" for line in report["damage"][:3])
        raise ExtractError(
            f"{archive.facts['file']} holds no replay (.slp): {other or 'it is empty'}{more}"
        )
    roots = [*([str(folder)] if wanted else []), *([str(loose)] if loose else [])]
    facts = {"folder": roots[0] if roots else str(folder), "roots": roots, "kept": keep}
    hashes = [pair for found in results for pair in found.hashes]
    version = replays_version(hashes) if keep else _hash([archive.version, EXTRACTOR_VERSION])
    return store.put(
        Stamp(REPLAYS, source, inputs, version, report, facts, upstream=[archive.record()])
    )


def _all_there(stamp: Stamp) -> bool:
    return all(Path(root).is_dir() for root in stamp.facts["roots"])


def _loose(archive: Stamp) -> Path | None:
    """The folder in which replays lie outside archives."""
    return Path(archive.facts["path"]) if archive.facts["loose"] else None


def archive_folders(store: Store, archive: Stamp) -> dict[str, Path]:
    """The folder of each of the source's archives, by its file: named as the archive is."""
    folders = named_folders(store, archive.name, [a["name"] for a in archive.facts["archives"]])
    files = (str(item["file"]) for item in archive.facts["archives"])
    return dict(zip(files, folders, strict=True))


def named_folders(store: Store, source: str, archives: Sequence[str]) -> list[Path]:
    """Where archives of these names are extracted to."""
    names = Names()
    own = (names.take(safe_name(name.replace("/", "_"))) for name in archives)
    return [store.replays(source) / name for name in own]


def _remove_others(folder: Path, wanted: set[Path]) -> None:
    """Replays of archives that the source no longer has."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path not in wanted:
            shutil.rmtree(path)


def _extract_once(
    item: Mapping[str, Any], folder: Path, progress: Progress, limits: Limits | None, source: str
) -> Extraction:
    inputs = {"sha256": item["sha256"], "extractor": EXTRACTOR_VERSION}
    note = folder / NOTE
    if note.exists() and (noted := read_json(note))["inputs"] == inputs:
        fields = noted["found"]
        hashes = [(name, sha256) for name, sha256 in fields["hashes"]]
        return Extraction(**{**fields, "skipped": Counter(fields["skipped"]), "hashes": hashes})
    label = f"{source}: extract {item['name']}"
    with atomic_folder(folder) as temporary:
        found = extract_archive(Path(item["file"]), temporary, progress, label=label, limits=limits)
        write_json(temporary / NOTE, {"inputs": inputs, "found": _fields(found)})
    return found


def _fields(found: Extraction) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Extraction.__slots__}


def _look_into(path: Path) -> Extraction:
    """What an archive holds by its list of contents; archives in it are not opened."""
    found = Extraction()
    for member in members(path):
        found.members += 1
        if reason := reason_to_skip(member, 0, Limits()):
            found.skipped[reason] += 1
        else:
            found.replays += is_replay(member.name)
    return found


def _in_place(folder: Path) -> Extraction:
    found = Extraction()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        found.members += 1
        name = _text(path.relative_to(folder))
        if is_junk(name) or not is_replay(name):
            found.skipped[JUNK if is_junk(name) else NOT_A_REPLAY] += not is_archive_name(name)
            continue
        found.replays += 1
        found.bytes += path.stat().st_size
        found.hashes.append((name, file_sha256(path)))
    return found


def _report(results: Sequence[Extraction]) -> dict[str, Any]:
    skipped = sum((found.skipped for found in results), Counter[str]())
    return {
        "replays": sum(found.replays for found in results),
        "bytes": sum(found.bytes for found in results),
        "skipped": dict(skipped.most_common()),
        "renamed": sum(found.renamed for found in results),
        "damage": [line for found in results for line in found.damage],
    }


def replays_version(hashes: Iterable[tuple[str, str]]) -> str:
    """Data version of a source's replays: of the names and SHA-256 of all of them."""
    return _hash(sorted(f"{name}\0{sha256}" for name, sha256 in hashes))


def _hash(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
