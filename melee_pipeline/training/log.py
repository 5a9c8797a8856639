"""Weights & Biases, when it is wanted: a run must never fail or wait because of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from melee_pipeline.errors import ConfigError

_LOG = logging.getLogger(__name__)
PROJECT = "melee-worldmodel"
Mode = Literal["off", "offline", "online"]
MODES = ("auto", "off", "offline", "online")


class RunLog(Protocol):
    """Somebody who is told the numbers of every epoch."""

    url: str | None

    def epoch(self, numbers: Mapping[str, float | int | None]) -> None:
        """The numbers of an epoch that has ended."""
        ...


class Silent:
    """Tells nobody."""

    url: str | None = None

    def epoch(self, numbers: Mapping[str, float | int | None]) -> None:
        """Nothing to do."""


class WandbLog:
    """Tells Weights & Biases, until it fails: then a warning, and silence."""

    def __init__(self, run: Any, url: str | None) -> None:  # noqa: ANN401 - wandb's Run
        self._run, self.url = run, url
        self._failed = False

    def epoch(self, numbers: Mapping[str, float | int | None]) -> None:
        """One step of the run, numbered by the epoch."""
        told = {k: v for k, v in numbers.items() if v is not None}
        if not self._failed:
            self._try(lambda: self._run.log(told, step=numbers["epoch"]))

    def finish(self, exit_code: int) -> None:
        """The run has ended; wandb's own process ends too, even one that has failed before."""
        self._try(lambda: self._run.finish(exit_code=exit_code))

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run is worth more
            if not self._failed:
                _LOG.warning("wandb: %s: %s; going on without it", type(error).__name__, error)
            self._failed = True


def resolve_mode(mode: str) -> Mode:
    """What a mode comes to: without a key, `auto` is offline, and so is `online`, with a warning.

    Raises ConfigError for any other word.
    """
    if mode not in MODES:
        raise ConfigError(f"wandb is {mode!r}; expected one of {', '.join(MODES)}")
    if mode == "off":
        return "off"
    if mode != "offline" and has_key():
        return "online"
    if mode == "online":
        _LOG.warning("wandb has no key, so the run is logged offline; wandb login gives it one")
    return "offline"


def has_key() -> bool:
    """Whether this user has given wandb a key, in the environment or by `wandb login`."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc().authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False


@contextmanager
def open_log(mode: Mode, folder: Path, name: str, config: Mapping[str, Any]) -> Iterator[RunLog]:
    """A log of one run. What it writes on this machine lies in `folder`/wandb."""
    if mode == "off":
        yield Silent()
        return
    import wandb

    try:
        run = wandb.init(
            project=PROJECT,
            name=f"{name}-{folder.name}",
            id=f"{name}-{folder.name}",
            resume="allow",
            config=dict(config),
            dir=str(folder),
            mode=mode,
            # What wandb would find out by itself holds the names of the machine and its user.
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_meta=True,
                x_disable_machine_info=True,
            ),
        )
    except (wandb.Error, OSError) as error:
        _LOG.warning("wandb: %s; going on without it", error)
        yield Silent()
        return
    log = WandbLog(run, run.url if mode == "online" else None)
    try:
        yield log
    except BaseException:
        log.finish(1)
        raise
    log.finish(0)
