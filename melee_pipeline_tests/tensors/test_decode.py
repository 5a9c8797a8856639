"""The decoder against plain arithmetic on the parsed table, slot by slot as v1 and v2 are set.

What is written out here (order, scales, ids, bits) is the definition of the encodings, not a
reading of the field table: a checkpoint of the earlier implementation hangs on it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from melee_pipeline.schema.encoding import encoding
from melee_pipeline.tensors.decode import Decoded, Decoder
from melee_pipeline.tensors.encode import pack_game
from melee_pipeline_tests.tensors.games import NEW, OLD, rich_game, table_of

if TYPE_CHECKING:
    import pyarrow as pa

Array = NDArray[Any]

# name: (scale, largest error of the shard in game units, as absolute and relative)
_POSITION, _HALF = (1 / 64, 0), (1e-7, 2.0**-11)
CONTINUOUS = {
    "v1": {
        "percent": (0.01, (1 / 64, 0)),
        "x": (0.05, _POSITION),
        "y": (0.05, _POSITION),
        "shield_strength": (0.01, _HALF),
    }
}
CONTINUOUS["v2"] = {
    **CONTINUOUS["v1"],
    "speed_air_x": (0.05, _HALF),
    "speed_y": (0.05, _HALF),
    "speed_ground_x": (0.05, _HALF),
    "speed_attack_x": (0.05, _HALF),
    "speed_attack_y": (0.05, _HALF),
    "state_age": (0.01, _HALF),
    "hitlag": (0.1, (0, 0)),
    "stocks": (0.25, (0, 0)),
}
STICKS = ("main_stick_x", "main_stick_y", "c_stick_x", "c_stick_y", "shoulder")
BUTTON_MASKS = {
    "A": 0x100, "B": 0x200, "X": 0x400, "Y": 0x800, "Z": 0x10, "L": 0x40, "R": 0x20, "D_UP": 0x8,
}  # fmt: skip
LATE = {  # what a replay of Slippi 2.0.1 does not record
    "invulnerable", "hitlag",
    "speed_air_x", "speed_y", "speed_ground_x", "speed_attack_x", "speed_attack_y",
}  # fmt: skip


def of_players(table: pa.Table, name: str) -> Array:
    """A field of both players, (N, 2)."""
    return np.stack([table.column(f"p{i}_{name}").to_numpy() for i in range(2)], 1)


@pytest.fixture(params=[(v, e) for v in (OLD, NEW) for e in ("v1", "v2")], ids=str)
def decoded(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[pa.Table, Decoded, str, bool]:
    """A game's table, its frames decoded as two windows, the encoding and whether it is old."""
    version, name = request.param
    table = table_of(rich_game(version=version), tmp_path)
    game = pack_game(table)
    blocks = {
        key: torch.from_numpy(rows).view(2, 100, *rows.shape[1:]) for key, rows in game.rows.items()
    }
    available = torch.from_numpy(game.available).expand(2, -1)
    return table, Decoder(encoding(name))(blocks, available), name, version == OLD


def flat(tensor: torch.Tensor) -> Array:
    """(2, 100, …) -> (200, …)."""
    found: Array = tensor.flatten(0, 1).numpy()
    return found


def test_continuous_states(decoded: tuple[pa.Table, Decoded, str, bool]) -> None:
    table, frames, version, old = decoded
    names = [slot.name for slot in encoding(version).continuous]
    assert names == list(CONTINUOUS[version])
    assert frames.continuous.shape == (2, 100, 2, len(names))
    assert frames.continuous.dtype == torch.float32
    values = flat(frames.continuous)
    for k, (name, (scale, (absolute, relative))) in enumerate(CONTINUOUS[version].items()):
        if old and name in LATE:
            assert not values[..., k].any(), name
            continue
        true = of_players(table, name).astype("f8")
        allowed = absolute + (relative + 1e-6) * np.abs(true)
        assert (np.abs(values[..., k] / scale - true) <= allowed).all(), name
        assert np.ptp(true) > 1, f"{name} must vary, or this test sees nothing"


def test_flags(decoded: tuple[pa.Table, Decoded, str, bool]) -> None:
    table, frames, version, old = decoded
    assert [slot.name for slot in encoding(version).binary] == [
        "facing", "invulnerable", "on_ground",
    ]  # fmt: skip
    values = flat(frames.binary)
    assert (values[..., 0] == (of_players(table, "direction") == 1)).all()
    assert (values[..., 2] == (of_players(table, "airborne") == 0)).all()
    if old:
        assert not values[..., 1].any()
    else:
        assert (values[..., 1] == (of_players(table, "hurtbox_state") != 0)).all()
        assert set(of_players(table, "hurtbox_state").flat) == {0, 1, 2}
    assert frames.binary.dtype == torch.float32


def test_controllers(decoded: tuple[pa.Table, Decoded, str, bool]) -> None:
    table, frames, _, _ = decoded
    values = flat(frames.control)
    assert values.shape == (200, 2, 13)
    for k, name in enumerate(STICKS):
        np.testing.assert_allclose(values[..., k], of_players(table, name), atol=1e-6)
        assert len(np.unique(values[..., k])) > 20, f"{name} must vary"
    pressed = of_players(table, "buttons")
    for k, mask in enumerate(BUTTON_MASKS.values(), len(STICKS)):
        assert (values[..., k] == ((pressed & mask) == mask)).all()


def test_the_controllers_order_is_fixed() -> None:
    wanted = [*STICKS, *(f"button_{name}" for name in BUTTON_MASKS)]
    for version in ("v1", "v2"):
        assert [slot.name for slot in encoding(version).control] == wanted


def test_categories_never_leave_the_vocabulary(
    decoded: tuple[pa.Table, Decoded, str, bool],
) -> None:
    """An id that is not in it becomes the unknown one; it is neither wrapped nor clipped."""
    table, frames, version, _ = decoded
    known = {"action_state": (400, 399), "jumps_left": (8, 7)}
    if version == "v2":
        known["character"] = (33, 32)
    assert set(frames.category) == set(known)
    for name, (size, unknown) in known.items():
        true = of_players(table, name).astype("i8")
        assert true.max() > size, f"{name}: an id above the vocabulary must occur"
        found = flat(frames.category[name])
        assert (found == np.where(true >= size, unknown, true)).all(), name
        assert found.dtype == np.int64


def test_the_stage_is_shared(decoded: tuple[pa.Table, Decoded, str, bool]) -> None:
    _, frames, version, _ = decoded
    assert set(frames.shared) == ({"stage"} if version == "v2" else set())
    if version == "v2":
        assert frames.shared["stage"].tolist() == [[31] * 100] * 2


def test_masks_say_what_is_recorded(decoded: tuple[pa.Table, Decoded, str, bool]) -> None:
    _, frames, version, old = decoded
    missing = {name for name, there in frames.available.items() if not there.any()}
    wanted = LATE & set(frames.available) if old else set()
    assert missing == wanted
    assert set(frames.available) == {slot.name for slot in encoding(version).slots}


def test_what_one_game_of_a_batch_lacks_stays_with_that_game(tmp_path: Path) -> None:
    """In one batch: a field is masked for the games that lack it, and ids become unknown."""
    game = pack_game(table_of(rich_game(20), tmp_path))
    blocks = {key: torch.from_numpy(rows).expand(2, *rows.shape) for key, rows in game.rows.items()}
    decoder = Decoder(encoding("v2"))
    whole = decoder(blocks, torch.ones(2, len(game.available), dtype=torch.bool))
    half = decoder(blocks, torch.tensor([[True], [False]]).expand(2, len(game.available)))
    for name in ("continuous", "binary", "control"):
        assert torch.equal(getattr(half, name)[0], getattr(whole, name)[0])
        assert not getattr(half, name)[1].any()
    for name, unknown in (("action_state", 399), ("jumps_left", 7), ("character", 32)):
        assert torch.equal(half.category[name][0], whole.category[name][0])
        assert (half.category[name][1] == unknown).all()
    assert half.shared["stage"][:, 0].tolist() == [31, 0]


def test_slots_come_in_the_encodings_order_however_they_lie_in_the_shard(tmp_path: Path) -> None:
    """v1's and v2's order is almost the shard's; another encoding's need not be."""
    game = pack_game(table_of(rich_game(20), tmp_path))
    blocks = {key: torch.from_numpy(rows)[None] for key, rows in game.rows.items()}
    available = torch.from_numpy(game.available)[None]
    straight = encoding("v2")
    turned = replace(straight, slots=(*straight.slots[1::2], *straight.slots[::2]))
    one, other = (Decoder(scheme)(blocks, available) for scheme in (straight, turned))
    for name in ("continuous", "binary", "control"):
        names = [slot.name for slot in getattr(straight, name)]
        places = [names.index(slot.name) for slot in getattr(turned, name)]
        assert places != sorted(places)
        assert torch.equal(getattr(other, name), getattr(one, name)[..., places]), name


# Encoding v3: scale and step of each number, and the vocabulary's unknown id of each category.
V3_NUMBERS = {
    "percent": (0.01, 1), "x": (0.02, 0.5), "y": (0.02, 0.5), "shield_strength": (0.02, 1),
    "speed_air_x": (0.5, 0.5), "speed_y": (0.5, 0.5), "speed_ground_x": (0.5, 0.5),
    "speed_attack_x": (0.5, 0.5), "speed_attack_y": (0.5, 0.5),
    "state_age": (0.02, 5), "hitlag": (0.1, 2), "stocks": (0.25, 1), "combo_count": (0.25, 1),
    "hitstun_left": (0.05, 5), "threat_x": (0.02, 10), "threat_y": (0.02, 10),
}  # fmt: skip
V3_UNKNOWN = {
    "hurtbox_state": 3, "action_state": 575, "jumps_left": 7, "character": 32,
    "last_attack_landed": 95, "hit_by": 3, "ground": 159, "l_cancel": 3, "threats": 15,
}  # fmt: skip
V3_BITS = {
    0: (2, 3, 4, 5, 6, 7), 1: (0, 1, 2, 3, 4, 5), 2: (0, 2, 4, 6, 7), 3: (0, 1, 2, 4, 5, 6, 7),
    4: (4, 6, 7),
}  # fmt: skip


@pytest.fixture
def third(tmp_path: Path) -> tuple[pa.Table, Decoded]:
    """A game's table and its frames decoded as one window."""
    table = table_of(rich_game(), tmp_path)
    game = pack_game(table)
    blocks = {key: torch.from_numpy(rows)[None] for key, rows in game.rows.items()}
    return table, Decoder(encoding("v3"))(blocks, torch.from_numpy(game.available)[None])


def test_v3_feeds_numbers_and_their_changes(third: tuple[pa.Table, Decoded]) -> None:
    table, frames = third
    assert [slot.name for slot in encoding("v3").continuous] == list(V3_NUMBERS)
    for k, (name, (scale, step)) in enumerate(V3_NUMBERS.items()):
        found, change = frames.continuous[0, ..., k].numpy(), frames.change[0, ..., k].numpy()
        true = of_players(table, name).astype("f8")
        half = 0.5 if name.startswith("threat_") else 1 / 64
        np.testing.assert_allclose(found / scale, true, rtol=2.0**-10, atol=half + 1e-6)
        assert not change[0].any()
        np.testing.assert_allclose(change[1:] * step, np.diff(found / scale, axis=0), atol=1e-3)
        assert np.abs(change).max() > 0, f"{name} must vary, or this test sees nothing"


def test_v3_knows_every_id_or_says_that_it_does_not(third: tuple[pa.Table, Decoded]) -> None:
    table, frames = third
    assert set(frames.category) == set(V3_UNKNOWN)
    for name, unknown in V3_UNKNOWN.items():
        true = of_players(table, name).astype("i8")
        found = frames.category[name][0].numpy()
        assert (found == np.where(true > unknown, unknown, true)).all(), name
    assert of_players(table, "action_state").max() > 399
    assert (of_players(table, "ground") == 65535).any()


def test_v3_feeds_the_bits_of_the_state(third: tuple[pa.Table, Decoded]) -> None:
    table, frames = third
    names = [slot.name for slot in encoding("v3").binary]
    for byte, bits in V3_BITS.items():
        flags = of_players(table, f"state_flags_{byte}")
        for bit in bits:
            found = frames.binary[0, ..., names.index(f"state_flag_{byte}_{bit}")].numpy()
            assert (found == (flags >> bit & 1)).all()
    assert len(names) == sum(map(len, V3_BITS.values())) + 2
