"""The inbox: an archive or a folder that is dropped into it becomes a source, where it lies."""

import re
import unicodedata
from pathlib import Path

from melee_pipeline.dag.automation.settled import Settled
from melee_pipeline.errors import BusyError, CatalogError
from melee_pipeline.sources.catalog import REMOVED, add_source, own_sources
from melee_pipeline.sources.kinds import archive_kind, is_archive_name
from melee_pipeline.store import Store


def inbox(store: Store) -> Path:
    """Where archives and folders are dropped."""
    return store.root / "inbox"


def take_inbox(store: Store, settled: Settled) -> list[str]:
    """Add what has newly come to rest in the inbox to the user's sources; says what it leaves."""
    if not inbox(store).is_dir():
        return []
    known = {Path(place) for source in own_sources(store).values() for place in source.locations}
    notes = []
    for entry in sorted(inbox(store).iterdir()):
        # Hidden files are how copying programs name what is not whole yet.
        if not entry.name.startswith(".") and entry.resolve() not in known:
            notes += [f"inbox/{entry.name}: {note}" for note in _take(store, entry, settled)]
    return notes


def _take(store: Store, entry: Path, settled: Settled) -> list[str]:
    """Make a source of an entry, or say why not."""
    name = source_name(entry.name)
    reason = _never(store, entry, name)
    if reason is None:
        _, reason = settled.listing(entry.resolve())
    if reason is None and entry.is_file() and archive_kind(entry) is None:
        reason = "not an archive (7z, zip, tar), whatever its name says"
    if reason is None:
        try:
            add_source(store, name, str(entry))
        except (BusyError, CatalogError) as error:
            reason = str(error)
    return [] if reason is None else [reason]


def _never(store: Store, entry: Path, name: str) -> str | None:
    """Why an entry is no source, however long one waits."""
    if entry.is_file() and not is_archive_name(entry.name):
        return "neither a folder nor an archive (7z, zip, tar); put replays into a folder"
    if not name:
        return "no source can be called that; rename it to Latin letters and digits"
    if name in store.names(REMOVED):
        add = f"melee-pipeline sources add {name} PATH"
        return f"source {name} was removed; take it away, or if you want it again: {add}"
    return None


def source_name(file_name: str) -> str:
    """A file's name as a source's: `Riptide 2023.tar.gz` is riptide-2023; may be empty."""
    stem = file_name
    while is_archive_name(stem):
        stem = stem.rpartition(".")[0]
    stem = stem.removesuffix(".tar")
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[:64].rstrip("-")
