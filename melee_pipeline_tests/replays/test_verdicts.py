"""The verdict on every file of the troublesome archive, as a careful person gives it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from melee_pipeline.progress import Quiet
from melee_pipeline.replays.filters import Filters, Reason
from melee_pipeline.replays.index import KEPT, IndexRow
from melee_pipeline.replays.parse import parse_files
from melee_pipeline.sources.unpack import ReplayFile

pytestmark = pytest.mark.replays

# MD5 -> verdict: the reason why it is refused, or the number of frames that are kept.
VERDICTS: dict[str, Reason | int] = {
    "256339962c1127a49ce886af2bed867d": Reason.NOT_TWO_PLAYERS,
    "9e062c70ad2dc0ca2652d44d4cbcc0f6": Reason.NOT_TWO_PLAYERS,
    "b519e0dbf0c4b445effcbf3b6e33f791": Reason.NOT_TWO_PLAYERS,
    "9e75d2fc23ce89f184a22ef27abef7e7": Reason.NOT_TWO_PLAYERS,
    "4341741e57bc1ad957087cd75bc04327": Reason.NOT_TWO_PLAYERS,
    "e284b1897ed11d7bd1d2838a81dc6e86": Reason.NOT_TWO_PLAYERS,
    "fc12b77a174f7352ec073448a7a9c125": Reason.NOT_TWO_PLAYERS,
    "4450e106a9ca353b3cacb64183c471e7": Reason.CPU,
    "a0f3b94eaca070c40e9932e219467deb": Reason.CPU,
    "f2481b3f1e41c1f8aca0bff0ba73a4f8": Reason.CPU,
    "1f6eb9385b450790d753688943badb0d": Reason.CPU,
    "c1aa011a0f630e23739e162f58b71c9e": Reason.CPU,
    "0322a17169fa56d428f57e63d8a6f194": Reason.CPU,
    "f598e5060c6f666fe4ea0d17856b6626": Reason.CPU,
    "0974654550bf785d7ccbdbf310671e55": Reason.CPU,
    "3986a5718a6b91f2eb8ae5dfced09fe7": Reason.CPU,
    "9e8f51c13fa7ae2680304549645bac7c": Reason.CPU,
    "1a9a9297d733119d76ad0418c6ef021d": Reason.CPU,
    "f23c88b5a9f9d4397d16e92181db469a": Reason.CPU,
    "8827680e6a53cb6becf970f620cf6f27": Reason.CPU,
    "c1dee917b07573b82cbec7a26030f379": Reason.CPU,
    "d6ee51cb2abed01264f4c9e285993179": Reason.CPU,
    "2f404d8a873ff1ef1e857b2784163ffd": Reason.CPU,
    "822061bd00ac74c0a4f268ef8b185ffd": Reason.CPU,
    "870bce519fe7711d0452495a8e65672f": Reason.CPU,
    "c0e2f7c14aeacb88646a3af90bf6e8bc": Reason.CPU,
    "f65e1b81473074805c9a68ec9cc60a0b": Reason.CPU,
    "814a954cf39fc636f09d1ed1b1812f2d": Reason.CPU,
    "17db734d60d9c721f3719b04a9bed1c8": Reason.NOT_TWO_PLAYERS,
    "b087a7200a83401737785bd1ddfd32f0": Reason.TOO_SHORT,
    "26fc3ec2b2d7126f02d9c55a297550eb": Reason.UNREADABLE,
    "825af7f6c0c32639654e4667b059af8f": Reason.UNREADABLE,
    "c6c2dcc274d97d45a91cc6b6724d3504": Reason.UNREADABLE,
    "2a3973cf80ecdffb8d8e7214cabc0f5c": Reason.UNREADABLE,
    "5cc2e7ca9660e1365e3374080d328baa": Reason.UNREADABLE,
    "38bf12361e6b2781e9c48b02f166e139": Reason.UNREADABLE,
    "3f9d3222dae5b04e422ad03f92edb031": Reason.UNREADABLE,
    "f4e2c9b07859f5cec157a2d679f10e44": Reason.UNREADABLE,
    "5664d44e333123bd90f039ce6efdae1f": Reason.CPU,
    "8d503bd75866182df807e356cda46e58": Reason.CPU,
    "ab2618e034780fbbc380d85e2b03a133": Reason.TEAMS,
    "4a7920eb801c20a5527738b17fe143ee": Reason.UNREADABLE,
    "f378edc2c10dbec242ccb46d5d474e34": Reason.UNREADABLE,
    "7fc7ef0bc7f4f3ba0c60847451b9efe1": 10584,
    "6253cd5fe87750fcda03c21010d8abbe": Reason.UNREADABLE,
    "a55e7921436d8047e2fdde24f0b19dd5": Reason.TOO_SHORT,
    "f35c3fca5664a019af8bb99108f5b702": 5347,
    "0095ff97eef98dfda99609beb41a851d": Reason.TOO_SHORT,
    "0c15814c7c1b390fd89a24fe40e0868d": Reason.ICE_CLIMBERS,
    "a2d5e66a608fea8a3d9eca1d62d88e4e": Reason.ICE_CLIMBERS,
    "44876b8f22b01ac971688b3967712718": Reason.ITEMS_ON,
    "2526ea3a26fe093b8d63bc8fdbf94906": Reason.ODD_STAGE,
    "e6b8998f8eeb308de05de53c24952693": Reason.ODD_STAGE,
    "10fb72e5f88324896d796c2d84a97a5a": Reason.CPU,
    "c116e1dda96a681705dbea64e191ace6": Reason.CPU,
    "e2a90372f6a7bddd4a30242464103b84": Reason.UNREADABLE,
    "ce97181bc12730773d669bc5603a1c02": Reason.UNREADABLE,
    "823afbfab8e0f640331b4e00a0acaf8c": Reason.TOO_SHORT,
    "0ae243ed9a674b5c33688f13e73da787": Reason.NOT_TWO_PLAYERS,
    "929ea02c5e205a34c1483a8d085d9247": Reason.NOT_TWO_PLAYERS,
    "e88332c2a9fef7d98e807c05199708a5": Reason.NOT_TWO_PLAYERS,
    "35bfe3661dd34e884dd099c2212925a4": 7167,
    "78e27f9042e9a1b60d4546f0cb681cc4": 10144,
    "840ac864dd520ff3da6c68abb6081d5c": 11453,
    "d67a3986d6a85ea45bffbb2090121428": Reason.TOO_SHORT,
    "fefa059713d5d2413b8a9f039ce3bf46": Reason.TOO_SHORT,
    "8d6f5c913bc502cbc70f88f61fa5c0e5": Reason.TOO_SHORT,
    "7b67f89b27917f1c89b5790b88b960ab": Reason.TOO_SHORT,
    "89326e6549fb1cfa3d887cc752ed106b": Reason.TOO_SHORT,
    "a38d3a9bb7d3f441103748e5cd7fb207": Reason.TOO_SHORT,
    "053bb89d640d1a1c543200f8a6c4c308": Reason.TOO_SHORT,
    "143601e9dfc340a7af12b82a64f2e97c": Reason.TOO_SHORT,
    "1bdd9e39c259804fbf47d3a407f07bf4": Reason.TOO_SHORT,
    "343a2135fc65c4d65243aa3213c9bda1": Reason.TOO_SHORT,
    "39c9d0e5d34660c51ec39c168ab60b4e": Reason.TOO_SHORT,
    "41e07fd10b508901c0f739564d9013a9": Reason.TOO_SHORT,
    "485c24f08c0f3a93733211ddc0ea6f05": Reason.TOO_SHORT,
    "4f38712348a360d8719595ce600543b0": Reason.TOO_SHORT,
    "5b874bd7709f26090a1ffe6c31f78fe4": Reason.TOO_SHORT,
    "656c40a19a591ca9e3b669699ea2800b": Reason.TOO_SHORT,
    "76f9448464782f5b51cc309e990cef30": Reason.TOO_SHORT,
    "7e578e78d8e6135d1ee5b28a64165c38": Reason.TOO_SHORT,
    "84982270f6fe170e9115c9dac0d361ca": Reason.TOO_SHORT,
    "87afa5a9cf8dc321a6e732dcf2b3af15": Reason.TOO_SHORT,
    "8fd4b1c7e702ccc75f058b1c3a2fb705": Reason.TOO_SHORT,
    "93a7385aee86ea68eaa3a655d065aee6": Reason.TOO_SHORT,
    "9d71d5ebf6efb9dc824dfb60335603f6": Reason.TOO_SHORT,
    "d25663a9537084de512d5c1289c75ada": Reason.TOO_SHORT,
    "dfe3c55ecd86600b663426c92c79ba06": Reason.TOO_SHORT,
    "e42b53cfdb2d4db98e53e1aedc38c0a9": Reason.TOO_SHORT,
    "1f71b58c84eda6ccc1db16c6e15be78d": Reason.TEAMS,
    "cd54a73c7c2bf625a30a69719ec0e881": 3724,
    "e9c30e5f390fe3049c0542dcefc38aa2": 4593,
    "0e322cc50d6ae8270349204f2bd88743": Reason.CPU,
    "6e6a523ee2a913a27f7a32013721b99b": Reason.CPU,
    "20f6891c866632c8f0125db4c786eea8": 9593,
    "6adcb3e633eaa7bbf60bcb482ce13472": 7416,
    "b262006759a80daa62c34ddb3c6e1f64": 12036,
    "d6aa828c937a8532bf1441bf342e9ff1": 19242,
    "0a0aae28d598e4215c9613599bbfc63b": Reason.NOT_TWO_PLAYERS,
    "04a8c6aeb6cf7f32a0b71e24d1b3c4ab": Reason.CPU,
    "d047d785c094740553422a8bf398ac8c": Reason.CPU,
    "cae9f00625ed03dbbaa44c816b5a5f69": Reason.CPU,
    "05d176119ed9bb78662c967788bea8b2": Reason.CPU,
    "116f0757713018b23b60d492f9d4d065": Reason.CPU,
    "4f86129398f884b7a68642ee0be8f3ec": Reason.CPU,
    "c423fb0d0b06fae6afadc25093683288": Reason.CPU,
    "aa2cda2a1d7e272a9a802b7a3aa0425d": Reason.CPU,
    "c0c272542257a5d09f43897e850410c8": 9877,
    "03a3a34bcd03df8c9b5c44cae26880cb": Reason.TOO_SHORT,
}
CUT_SHORT = {
    "0095ff97eef98dfda99609beb41a851d": 1000,
    "a55e7921436d8047e2fdde24f0b19dd5": 142,
    "f35c3fca5664a019af8bb99108f5b702": 5347,
}


@pytest.fixture(scope="module")
def rows(
    edge_replays: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, IndexRow]:
    files = [ReplayFile(path, path.name) for path in edge_replays.values()]
    parsed = parse_files(files, tmp_path_factory.mktemp("edge-games"), Quiet(), workers=1)
    return {row.md5: row for row in parsed.rows}


@pytest.mark.parametrize(("md5", "verdict"), VERDICTS.items())
def test_verdict(rows: dict[str, IndexRow], md5: str, verdict: Reason | int) -> None:
    row = rows[md5]
    if isinstance(verdict, Reason):
        assert row.reason == verdict, row.detail
        assert row.detail
    else:
        assert (row.verdict, row.frames) == (KEPT, verdict), row.detail


def test_the_table_lists_every_file(replays_folder: Path, rows: dict[str, IndexRow]) -> None:
    described = {row["md5"]: row for row in csv.DictReader((replays_folder / "edge.csv").open())}
    assert set(VERDICTS) == set(described) == set(rows)


def test_facts_are_those_of_the_description(
    replays_folder: Path, rows: dict[str, IndexRow]
) -> None:
    """Whatever the description says of a file that its maker could read stands in the index."""
    compared = 0
    for wanted in csv.DictReader((replays_folder / "edge.csv").open()):
        row = rows[wanted["md5"]]
        if wanted["version"] and wanted["rows"]:
            assert row.slippi_version == wanted["version"]
            assert row.rows == int(wanted["rows"])
            assert "/".join(p.port for p in row.players) == wanted["ports"]
            assert "/".join(str(p.character) for p in row.players) == wanted["chars"]
            method = (row.end_method or "").upper().replace("NOCONTEST", "NO_CONTEST")
            assert method == wanted["end"]
            compared += 1
    assert compared > 70


def test_files_cut_short_keep_their_complete_frames_and_say_so(rows: dict[str, IndexRow]) -> None:
    assert {md5 for md5, row in rows.items() if row.truncated} == set(CUT_SHORT)
    for md5, frames in CUT_SHORT.items():
        assert rows[md5].rows == frames
        assert "cut short" in str(rows[md5].detail)


def test_filters_let_other_games_in(edge_replays: dict[str, Path], tmp_path: Path) -> None:
    """With every filter open only what cannot be read is refused, and what is not a game."""
    everything = Filters(
        cpus=True, doubles=True, ice_climbers=True, items=True, stages=frozenset(), min_frames=2
    )
    files = [ReplayFile(path, path.name) for path in edge_replays.values()]
    parsed = parse_files(files, tmp_path, Quiet(), filters=everything, workers=1)
    assert parsed.reasons() == {
        Reason.UNREADABLE: 16,
        Reason.NOT_TWO_PLAYERS: 7,
        Reason.DUPLICATE: 3,
    }
    kept = {row.md5 for row in parsed.kept}
    assert {"0c15814c7c1b390fd89a24fe40e0868d", "fc12b77a174f7352ec073448a7a9c125"} <= kept
