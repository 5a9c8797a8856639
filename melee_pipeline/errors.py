"""One exception tree: every failure that a user can cause or mend has a name here.

A message names the file, the field and what was expected, and ends with the next step where
there is one. The CLI prints `str(error)` and exits 1; Dagster turns it into a failed step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path


class MeleePipelineError(Exception):
    """Base of everything that this package raises on purpose."""


class CatalogError(MeleePipelineError):
    """A source is unknown, or an entry of a catalogue is not valid."""


class BusyError(MeleePipelineError):
    """Another process is working on the same source at this moment."""


class DownloadError(MeleePipelineError):
    """An archive could not be fetched, or what arrived is not what was announced."""


class PassingDownloadError(DownloadError):
    """A download failed in a way that may mend itself: worth another try, later."""


class ExtractError(MeleePipelineError):
    """An archive cannot be opened, or a member of it must not be written."""


class ReplayError(MeleePipelineError):
    """A file cannot be read as a replay; the parser turns this into a verdict."""


class ArtefactError(MeleePipelineError):
    """A table, shard or checkpoint is missing, damaged or made by something else."""


class SchemaMismatchError(ArtefactError):
    """Two artefacts disagree on what they hold; the message lists every difference."""

    def __init__(
        self,
        what: str,
        expected: Mapping[str, object],
        found: Mapping[str, object],
        next_step: str = "",
    ) -> None:
        keys = sorted(expected.keys() | found.keys())
        lines = [
            f"  {key}: expected {expected.get(key)!r}, found {found.get(key)!r}"
            for key in keys
            if expected.get(key) != found.get(key)
        ]
        then = f"; {next_step}" if next_step else ""
        super().__init__(f"{what} does not fit{then}:\n" + "\n".join(lines))


class ConfigError(MeleePipelineError):
    """A recipe, a knob or a setting is unknown or has a value that cannot work."""


class TrainingError(MeleePipelineError):
    """Training cannot start or cannot go on (no games, a loss that is not finite)."""


def did_you_mean(name: str, known: Iterable[str], most: int = 3) -> str:
    """The beginning of a hint at names that are near; empty when none is."""
    near = get_close_matches(name, list(known), n=most)
    return f"did you mean {' or '.join(near)}? " if near else ""


def text_of(path: Path, wrong: type[MeleePipelineError]) -> str:
    """The text of a file that users write, "" where there is none. Raises `wrong` unless UTF-8."""
    try:
        return path.read_text("utf-8") if path.exists() else ""
    except UnicodeDecodeError as error:
        raise wrong(f"{path} is not text in UTF-8 ({error}); save it as UTF-8") from error
