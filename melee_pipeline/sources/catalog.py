"""The catalogue: the package's sources, and the user's own in the data root."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from melee_pipeline.errors import CatalogError, did_you_mean, text_of
from melee_pipeline.locks import alone, source_lock
from melee_pipeline.sources.kinds import archive_kind
from melee_pipeline.store import ARCHIVE, GAMES, REPLAYS, SHARDS, Stamp, Store, atomic_file

Kind = Literal["http", "dropbox", "google_drive", "local", "manual"]
REMOVED = "removed"  # the stamps of sources that were taken out, as their other stamps stay
CATALOG_LOCK = ".sources"  # of the user's file, which is read, changed and written as a whole
PATIENCE = 10.0  # seconds for another process to write it, which takes it a moment
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class Source(BaseModel):
    """One place that replays come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    location: str | None = None  # URL, Google Drive file id, or path
    further: tuple[str, ...] = ()  # where more archives of this source are
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")  # when it is announced
    bytes: int | None = Field(default=None, gt=0)  # of the archive, when it is announced
    keep_replays: bool = True  # false: extracted only while they are parsed, for little disk
    filters: dict[str, Any] = Field(default_factory=dict)  # replays.filters.filters_of reads them
    replays: int | None = None  # roughly how many it holds
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _several(cls, entry: dict[str, Any]) -> dict[str, Any]:
        """`location` may be a list in the catalogue: several archives are one source."""
        where = entry.get("location")
        if not isinstance(where, list):
            return entry
        return {**entry, "location": where[0] if where else None, "further": tuple(where[1:])}

    @model_validator(mode="after")
    def _of_one_archive(self) -> Source:
        if self.further and (self.sha256 or self.bytes):
            raise ValueError("sha256 and bytes are of one archive: leave them out for several")
        return self

    @property
    def locations(self) -> tuple[str, ...]:
        """Where all archives of this source are."""
        return (self.location, *self.further) if self.location is not None else ()


def dropbox_file(link: str) -> str:
    """A share link as a link to the file: without dl=1 Dropbox shows a page."""
    parts = urlsplit(link)
    query = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != "dl"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("dl", "1")])))


def load_catalog(store: Store) -> dict[str, Source]:
    """All sources by name; the user's entries come before the package's of the same name.

    Raises CatalogError naming the file and the entry that is not valid.
    """
    packaged = files("melee_pipeline.sources") / "catalog.yaml"
    packaged_entries = _entries(packaged.read_text("utf-8"), "the package's catalog.yaml")
    return {**packaged_entries, **own_sources(store)}


def own_sources(store: Store) -> dict[str, Source]:
    """The sources that the user has added, by name. Raises CatalogError as `load_catalog` does."""
    return dict(_entries(_own_text(store), str(store.user_catalog)))


@lru_cache(maxsize=4)  # every step of every source asks; a hundred entries take a tenth of a second
def _entries(text: str, where: str) -> dict[str, Source]:
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise CatalogError(f"{where} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise CatalogError(f"{where}: expected `name: {{kind: …, location: …}}` entries")
    return {str(name): _source(str(name), entry, where) for name, entry in data.items()}


def _source(name: str, entry: Any, where: str) -> Source:  # noqa: ANN401 - straight from YAML
    if not _NAME.fullmatch(name):
        raise CatalogError(
            f"{where}: source {name!r}: a name is 1 to 64 lower-case letters, digits and dashes"
        )
    try:
        return Source(**{"name": name, **(entry or {})})
    except (ValidationError, TypeError) as error:
        problem = error.errors()[0] if isinstance(error, ValidationError) else None
        detail = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" if problem else error
        raise CatalogError(f"{where}: source {name}: {detail}") from error


def find_source(store: Store, name: str) -> Source:
    """The source called `name`. Raises CatalogError with the nearest names."""
    catalog = load_catalog(store)
    if name in catalog:
        return catalog[name]
    raise CatalogError(
        f"no source is called {name!r}; {did_you_mean(name, catalog)}"
        "`melee-pipeline sources list` shows all, "
        "`melee-pipeline sources add NAME LOCATION` adds one"
    )


def add_source(store: Store, name: str, location: str) -> Source:
    """Add a source to the user's catalogue; its kind is read off the location.

    Raises CatalogError when the name is taken by another location or the path holds nothing.
    Adding the same source again changes nothing. BusyError while another process adds for long.
    """
    kind, location = _classify(location)
    _source(name, {"kind": kind, "location": location}, "sources add")  # the name may be wrong
    with alone(store, CATALOG_LOCK, PATIENCE):
        old = load_catalog(store).get(name)
        if old is not None and old.location is not None and old.locations != (location,):
            raise CatalogError(
                f"source {name} exists already, at {old.location}; choose another name, or edit "
                f"{store.user_catalog}"
            )
        if old is None or old.location is None:
            _put_own(store, name, {"kind": kind, "location": location})
        store.forget(REMOVED, name)
    return find_source(store, name)


def remove_source(store: Store, name: str) -> list[Path]:
    """Take a source out: of the user's catalogue, and of the next training set.

    Its files stay: their folders are given back. One of the package's sources stays in the list,
    too. Raises CatalogError when there is no such source, or nothing of it to take out; BusyError
    while a step of it runs, which would bring it back.
    """
    find_source(store, name)
    with source_lock(store, name), alone(store, CATALOG_LOCK, PATIENCE):
        own = _own(store)
        begun = any(store.stamp(stage, name) for stage in (ARCHIVE, REPLAYS, GAMES, SHARDS))
        if name not in own and not begun:
            raise CatalogError(
                f"{name} is one of the package's sources, which stay in the list, and nothing of "
                f"it is in {store.root}: there is nothing to remove"
            )
        store.put(Stamp(REMOVED, name, {}, version=""))  # until it is added or fetched again
        store.forget(SHARDS, name)
        if own.pop(name, None) is not None:
            _write_own(store, _yaml(own))
    folders = (store.archives(name), store.replays(name), store.games(name), store.shards(name))
    return [folder for folder in folders if folder.is_dir()]


def _own_text(store: Store) -> str:
    return text_of(store.user_catalog, CatalogError)


def _own(store: Store) -> dict[str, Any]:
    return _named(_own_text(store))


def _named(text: str) -> dict[str, Any]:
    return {str(name): entry for name, entry in (yaml.safe_load(text) or {}).items()}


def _yaml(entries: dict[str, Any]) -> str:
    return yaml.safe_dump(entries, allow_unicode=True, sort_keys=False)


def _put_own(store: Store, name: str, place: dict[str, Any]) -> None:
    """Write where a source is. A new entry is put below what the user has written, comments too."""
    text, own = _own_text(store), _own(store)
    wanted = {**own, name: {**(own.get(name) or {}), **place}}
    longer = f"{text}\n" if text and not text.endswith("\n") else text
    longer += _yaml({name: wanted[name]})
    try:
        fits = name not in own and _named(longer) == wanted
    except yaml.YAMLError:  # the file is written in braces, or ends with `...`
        fits = False
    _write_own(store, longer if fits else _yaml(wanted))


def _write_own(store: Store, text: str) -> None:
    with atomic_file(store.user_catalog) as temporary:
        temporary.write_text(text, "utf-8")


def _classify(location: str) -> tuple[Kind, str]:
    parts = urlsplit(location)
    if parts.scheme in ("http", "https"):
        host = parts.hostname or ""
        if host == "dropbox.com" or host.endswith(".dropbox.com"):
            return "dropbox", location
        if host == "drive.google.com":
            return "google_drive", location
        if host in ("1drv.ms", "onedrive.live.com"):
            return "manual", location
        return "http", location
    if "://" in location:
        raise CatalogError(
            f"{location}: {parts.scheme}:// is not supported, only http:// and https://; fetch it "
            "yourself and add the file: melee-pipeline sources add NAME PATH"
        )
    path = Path(location).expanduser().resolve()
    if not path.exists():
        raise CatalogError(f"{location} is neither a URL nor a file or folder on this machine")
    if path.is_file() and archive_kind(path) is None:
        raise CatalogError(
            f"{location} is neither an archive (7z, zip, tar) nor a replay, by its first bytes"
        )
    return "local", str(path)
