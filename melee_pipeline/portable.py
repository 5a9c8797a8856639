"""Records that leave this machine with a checkpoint: nothing in them tells where it keeps files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Where a step's own files lie: of use to the next step, and to nobody elsewhere.
_OF_THIS_MACHINE = frozenset({"file", "folder", "roots"})


def portable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The same JSON value without the places of files, and with `~` for the user's folder."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in _OF_THIS_MACHINE}
        return {key: portable(item) for key, item in kept.items()}
    if isinstance(value, list | tuple):
        return [portable(item) for item in value]
    home = str(Path.home())
    if isinstance(value, str) and (value == home or value.startswith(f"{home}/")):
        return f"~{value[len(home) :]}"
    return value
