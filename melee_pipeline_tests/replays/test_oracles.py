"""The reader against two others on real replays: py-slippi, and peppi value for value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from melee_pipeline.replays.frames import Keep, Replay
from melee_pipeline.replays.oracle import differences
from melee_pipeline.replays.read import read_replay
from melee_pipeline.schema.field import Version

pytestmark = pytest.mark.replays

# By MD5; 3.6.0 and 3.13.0 have rollbacks, and peppi reads neither 3.6.
PY_SLIPPI = {
    "6e6a523ee2a913a27f7a32013721b99b": (0, 1, 0),
    "d047d785c094740553422a8bf398ac8c": (1, 0, 0),
    "6adcb3e633eaa7bbf60bcb482ce13472": (1, 7, 1),
    "1d550348cf181ac7f7b0b5aa5fb58765": (2, 0, 1),
    "287c5bf12ced89ee0fe79ce171f4c65d": (2, 2, 0),
    "d67a3986d6a85ea45bffbb2090121428": (3, 6, 0),
    "fefa059713d5d2413b8a9f039ce3bf46": (3, 6, 1),
    "dfe3c55ecd86600b663426c92c79ba06": (3, 7, 0),
    "5815ef684b7a126e7838a0720dc70554": (3, 9, 0),
    "c1dee917b07573b82cbec7a26030f379": (3, 9, 1),
    "8827680e6a53cb6becf970f620cf6f27": (3, 12, 0),
    "19634e10655dd29004a4a26aeeb40280": (3, 13, 0),
    "c267d004f6d8a24f9cb66d7c6e3bf14f": (3, 14, 0),
    "0046815c3c324d99ec47d37184b5d498": (3, 17, 0),
}
# Field -> where py-slippi has it, for a frame of a player. It has no more of ours than these.
_STATE = {
    "x": "post.position.x",
    "y": "post.position.y",
    "percent": "post.damage",
    "shield_strength": "post.shield",
    "stocks": "post.stocks",
    "action_state": "post.state",
    "state_age": "post.state_age",
    "character": "post.character",
    "jumps_left": "post.jumps",
    "airborne": "post.airborne",
    "l_cancel": "post.l_cancel",
    "ground": "post.ground",
    "hitstun": "post.hit_stun",
    "last_attack_landed": "post.last_attack_landed",
    "combo_count": "post.combo_count",
    "direction": "post.direction",
    "main_stick_x": "pre.joystick.x",
    "main_stick_y": "pre.joystick.y",
    "c_stick_x": "pre.cstick.x",
    "c_stick_y": "pre.cstick.y",
    "shoulder": "pre.triggers.logical",
    "trigger_l": "pre.triggers.physical.l",
    "trigger_r": "pre.triggers.physical.r",
    "buttons": "pre.buttons.logical",
    "buttons_physical": "pre.buttons.physical",
    "raw_stick_x": "pre.raw_analog_x",
}
# py-slippi interprets: no attack and no l-cancel are None, and so are a ground while in the air
# and a hitstun while there is none. Its raw stick is the same byte without a sign.
_NONE_IS_ZERO = {"last_attack_landed", "l_cancel"}
_NONE_WHERE_MEANINGLESS = {"ground", "hitstun"}


@pytest.fixture(scope="session")
def replays(real_replays: dict[str, Path], edge_replays: dict[str, Path]) -> dict[str, Path]:
    """Every real file there is."""
    return real_replays | edge_replays


@pytest.mark.parametrize(("md5", "version"), PY_SLIPPI.items())
def test_real_games_equal_py_slippi(replays: dict[str, Path], md5: str, version: Version) -> None:
    from slippi import Game as SlippiGame

    replay = read_replay(replays[md5])
    table = replay.table()
    oracle = SlippiGame(str(replays[md5]))
    assert replay.version == version
    assert table.num_rows == len(oracle.frames)
    for player, port in enumerate(int(p.port[1]) - 1 for p in replay.players):
        for name, path in _STATE.items():
            column = table.column(f"p{player}_{name}")
            wanted = np.array([_value(f.ports[port].leader, path) for f in oracle.frames], "f8")
            if name in _NONE_IS_ZERO and not column.null_count:
                wanted = np.nan_to_num(wanted)
            recorded = ~np.isnan(wanted)
            if not recorded.any():
                assert column.null_count == len(column), name
                continue
            got = column.to_numpy().astype("f8")
            if name == "raw_stick_x":
                got = got % 256
            assert recorded.all() or name in _NONE_WHERE_MEANINGLESS, name
            np.testing.assert_array_equal(got[recorded], wanted[recorded], name)


def _value(fighter: Any, path: str) -> Any:  # noqa: ANN401 - py-slippi's classes have no stubs
    for name in path.split("."):
        fighter = getattr(fighter, name, None)
    return np.nan if fighter is None else float(fighter)


# Games that peppi reads: all kinds of the edge cases, and every sixth of the others.
PEPPI = (
    "0c15814c7c1b390fd89a24fe40e0868d",  # Ice Climbers
    "a2d5e66a608fea8a3d9eca1d62d88e4e",  # Ice Climbers with rollback
    "9e75d2fc23ce89f184a22ef27abef7e7",  # four players, some eliminated
    "f65e1b81473074805c9a68ec9cc60a0b",  # 3.18, with stage events
    "6e6a523ee2a913a27f7a32013721b99b",  # 0.1.0
)


def test_real_games_equal_peppi(replays: dict[str, Path], real_replays: dict[str, Path]) -> None:
    filled = sorted(md5 for md5, path in real_replays.items() if path.stat().st_size)
    for md5 in (*PEPPI, *filled[::6]):
        assert differences(replays[md5]) == [], md5


def test_a_difference_is_found(replays: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Had we read one value otherwise, or kept another row of a rolled-back frame."""
    path = replays["a2d5e66a608fea8a3d9eca1d62d88e4e"]
    plain = Replay.table

    def other(replay: Replay, keep: Keep = "last") -> pa.Table:
        table = plain(replay, keep)
        x = table.column("p0_x").to_numpy().copy()
        x[100] += 1
        at = table.column_names.index("p0_x")
        return table.set_column(at, table.schema.field(at), pa.array(x))

    monkeypatch.setattr(Replay, "table", other)
    assert differences(path) == ["p0_x"]
    monkeypatch.setattr(Replay, "table", lambda replay: plain(replay, "first"))
    assert "p0_x" in (differences(path) or [])


def test_peppi_cannot_read_everything(
    replays: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """It panics on 3.6; that is no difference, and nothing is printed."""
    assert differences(replays["d67a3986d6a85ea45bffbb2090121428"]) is None
    assert capfd.readouterr().err == ""
