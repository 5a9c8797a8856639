"""Files that are no checkpoints: one message of our own, whatever their bytes are."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from melee_pipeline.errors import ArtefactError
from melee_pipeline.training.checkpoint import load_checkpoint


def saved(value: Any) -> bytes:  # noqa: ANN401 - whatever torch can save
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("games/x.slp", b"no replay")
    return file.getvalue()


OTHER_FILES = {
    "empty": b"",
    "text": b"no checkpoint",
    "json": b'{"epochs": 3}',
    "replay": b"{U\x03raw[$U#l\0\0\0\0",
    "zip": zipped(),
    "cut-zip": b"PK\x03\x04",
    "pickle": pickle.dumps({"weights": 1}),
    "code": pickle.dumps(Path("x")),
    "short-pickle": b"\x80\x02}",
    "a-list": saved([1]),
    "a-text": saved("x"),
    "a-tensor": saved(torch.zeros(3)),
    "no-header": saved({"weights": {}}),
    "odd-header": saved({"header": "[]", "weights": {}}),
    "number-header": saved({"header": 5, "weights": {}}),
}


def assert_named(path: Path) -> None:
    with pytest.raises(ArtefactError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not a checkpoint of this pipeline (")
    assert message.endswith("): expected best.pt or final.pt of a run")
    for harmful in ("weights_only", "delete", "allowlist", "safe_globals"):
        assert harmful not in message


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", OTHER_FILES)
def test_a_file_that_is_no_checkpoint_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(OTHER_FILES[name])
    assert_named(tmp_path / name)


def test_any_bytes_are_named(tmp_path: Path) -> None:
    """Random bytes as pickles, which torch's reader meets with whatever error they lead to."""
    rng = random.Random(0)
    for _ in range(200):
        length = rng.randint(1, 60)
        (tmp_path / "x.pt").write_bytes(b"\x80\x02" + rng.randbytes(length))
        assert_named(tmp_path / "x.pt")


def test_a_missing_file_says_where_checkpoints_lie(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"nowhere\.pt does not exist; checkpoints lie in"):
        load_checkpoint(tmp_path / "nowhere.pt")
