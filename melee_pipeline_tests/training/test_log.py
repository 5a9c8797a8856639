"""When Weights & Biases is told, and that it needs no key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import wandb

from melee_pipeline.errors import ConfigError
from melee_pipeline.training.log import has_key, open_log, resolve_mode


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without keys."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_without_a_key_nothing_is_online() -> None:
    assert not has_key()
    wanted = {"auto": "offline", "online": "offline", "offline": "offline", "off": "off"}
    assert {mode: resolve_mode(mode) for mode in wanted} == wanted


def test_a_key_in_the_environment_or_in_netrc_goes_online(
    monkeypatch: pytest.MonkeyPatch, nobody: Path
) -> None:
    (nobody / ".netrc").write_text("machine api.wandb.ai login user password secret\n")
    (nobody / ".netrc").chmod(0o600)
    assert has_key()
    (nobody / ".netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert (resolve_mode("auto"), resolve_mode("off")) == ("online", "off")


def test_another_word_is_named() -> None:
    with pytest.raises(ConfigError, match="'maybe'; expected one of auto, off, offline, online"):
        resolve_mode("maybe")


class Broken:
    """A run whose service is gone: what wandb then raises is not always its own Error."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def log(self, numbers: object, step: int) -> None:
        self.asked.append(f"log {step}")
        raise BrokenPipeError("the service is gone")

    def finish(self, exit_code: int) -> None:
        self.asked.append(f"finish {exit_code}")
        raise wandb.Error("the service is still gone")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Broken:
    run = Broken()
    monkeypatch.setattr(wandb, "init", lambda **_: run)
    return run


def test_a_run_outlives_wandb_and_warns_once(
    broken: Broken, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_log("offline", tmp_path, "tiny", {}) as log:
        for number in (1, 2):
            log.epoch({"epoch": number, "loss": 1.0})
    assert broken.asked == ["log 1", "finish 0"]
    assert caplog.messages == [
        "wandb: BrokenPipeError: the service is gone; going on without it",
    ]


def test_why_a_run_failed_is_not_hidden_by_wandb(
    broken: Broken, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        pytest.raises(KeyError, match="the run's own"),
        open_log("offline", tmp_path, "tiny", {}),
    ):
        raise KeyError("the run's own")
    assert broken.asked == ["finish 1"]
    assert len(caplog.messages) == 1


def test_numbers_and_the_end_reach_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[Any] = []

    class Run:
        def log(self, numbers: dict[str, float], step: int) -> None:
            told.append((numbers, step))

        def finish(self, exit_code: int) -> None:
            told.append(exit_code)

    monkeypatch.setattr(wandb, "init", lambda **_: Run())
    with open_log("offline", tmp_path, "tiny", {}) as log:
        log.epoch({"epoch": 1, "loss": 1.0, "validation_loss": None})
        log.epoch({"epoch": 2, "loss": 0.5})
    assert told == [({"epoch": 1, "loss": 1.0}, 1), ({"epoch": 2, "loss": 0.5}, 2), 0]
