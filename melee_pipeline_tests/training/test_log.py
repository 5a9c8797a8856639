"""When Weights & Biases is told, and that it needs no key."""

from __future__ import annotations

from pathlib import Path

import pytest

from melee_pipeline.errors import ConfigError
from melee_pipeline.training.log import has_key, resolve_mode


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
