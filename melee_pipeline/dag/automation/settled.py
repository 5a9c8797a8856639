"""Whether what lies at a path has come to rest: a file that is still being copied must wait."""

import json
import time
from pathlib import Path

from melee_pipeline.dag.automation.settings import SENSOR_SECONDS
from melee_pipeline.sources.kinds import cut_off
from melee_pipeline.sources.local import Found, listing, look

LONG = 600  # seconds after which a file that is cut off is taken all the same, to be seen failing


class Settled:
    """Compares files with how they were at the last look, which a sensor's cursor remembers."""

    def __init__(self, cursor: str | None) -> None:
        self._before: dict[str, str] = json.loads(cursor) if cursor else {}
        self._now: dict[str, str] = {}

    @property
    def cursor(self) -> str:
        """What the next look needs."""
        return json.dumps(self._now)

    def listing(self, path: Path) -> tuple[str, str | None]:
        """A hash of names, sizes and times of what lies there, and why it cannot be taken yet."""
        try:
            if not path.exists():
                return "", f"{path} does not exist"
            found = look(path)
            if not found.files:
                return "", f"{path} holds no replay (.slp, .slp.gz) and no archive (7z, zip, tar)"
            listed = self._now[str(path)] = listing(path, found)
            if self._before.get(str(path)) != listed:
                return listed, f"{path} is new or changing; next look in {SENSOR_SECONDS} s"
            return listed, _cut_off(found)
        except OSError as error:
            return "", f"{path} cannot be read: {error}"


def _cut_off(found: Found) -> str | None:
    for archive in found.archives:
        reason = cut_off(archive)
        if reason and time.time() - archive.stat().st_mtime < LONG:
            return f"{archive} is not whole yet: {reason}"
    return None
