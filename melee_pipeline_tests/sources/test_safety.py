"""Archives that are out to do harm, and archives that were harmed."""

from __future__ import annotations

import gzip
import os
import random
import stat
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from melee_pipeline.errors import ExtractError
from melee_pipeline.progress import Quiet
from melee_pipeline.sources.extract import extract_archive, folder_replays
from melee_pipeline.sources.unpack import Extraction, Limits
from melee_pipeline_tests.sources.archives import (
    KINDS,
    archive_bytes,
    replay_bytes,
    seven_bytes,
    tar_bytes,
    write,
    zip_bytes,
)

BODY = replay_bytes(1)
SAME_CASE = {f"{name}.slp": replay_bytes(i) for i, name in enumerate(["game", "GAME", "Game (2)"])}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where archives are extracted to, deep enough for `..` to be noticed beside it."""
    folder = tmp_path / "one" / "two" / "out"
    folder.mkdir(parents=True)
    return folder


def extract(body: bytes, out: Path, limits: Limits | None = None) -> Extraction:
    path = write(out.parent.parent.parent / "archives", "x.bin", body)
    return extract_archive(path, out, Quiet(), limits=limits)


def contents(out: Path) -> dict[str, bytes]:
    return {file.name: file.path.read_bytes() for file in folder_replays(out)}


def all_files(out: Path) -> set[Path]:
    top = out.parent.parent.parent
    return {p for p in top.rglob("*") if not p.is_dir() and "archives" not in p.parts}


BAD_NAMES = {
    "/abs.slp": "abs.slp",
    "../up.slp": "up.slp",
    "a/../../up.slp": "a/up.slp",
    "C:\\win.slp": "C_/win.slp",
    "..\\..\\back.slp": "back.slp",
    "x" * 250 + ".slp": None,
    "d/" * 600 + "deep.slp": None,
}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: name[:14])
def test_a_member_stays_inside_and_is_kept(out: Path, kind: str, name: str) -> None:
    found = extract(archive_bytes(kind, {name: BODY, "good.slp": b"good"}), out)
    assert found.replays == 2
    assert found.renamed == 1
    files = contents(out)
    assert sorted(files.values()) == sorted([BODY, b"good"])
    assert all_files(out) == {out / inside for inside in files}
    if BAD_NAMES[name]:
        assert BAD_NAMES[name] in files


@pytest.mark.parametrize("name", ["../up.slp", "/abs.slp", "a/../../up.slp", "c:\\win.slp"])
def test_a_member_of_a_7z_stays_inside(out: Path, name: str) -> None:
    """py7zr refuses to write such names, so another of the same length is written and replaced."""
    harmless = "x" * len(name)
    body = seven_bytes_with_plain_header({harmless: BODY}, harmless, name)
    assert extract(body, out).replays == 1
    assert list(contents(out).values()) == [BODY]
    assert len(all_files(out)) == 1


def seven_bytes_with_plain_header(members: dict[str, bytes], old: str, new: str) -> bytes:
    """A 7z whose list of contents is not packed, with one name exchanged and hashes set right."""
    import struct
    import zlib

    import py7zr

    file = BytesIO()
    with py7zr.SevenZipFile(file, "w") as archive:
        archive.set_encoded_header_mode(False)
        for name, body in members.items():
            archive.writestr(body, name)
    data = bytearray(file.getvalue())
    was, becomes = old.encode("utf-16-le"), new.encode("utf-16-le")
    at = data.rindex(was)
    data[at : at + len(was)] = becomes
    offset, size = struct.unpack_from("<QQ", data, 12)
    struct.pack_into("<I", data, 28, zlib.crc32(data[32 + offset : 32 + offset + size]))
    struct.pack_into("<I", data, 8, zlib.crc32(data[12:32]))
    return bytes(data)


@pytest.mark.parametrize("type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("target", ["/etc", "../..", "good.slp"])
def test_links_and_devices_in_a_tar_are_skipped(out: Path, type_: bytes, target: str) -> None:
    link = tarfile.TarInfo("link.slp")
    link.type, link.linkname = type_, target
    through = tarfile.TarInfo("link.slp/through.slp")
    found = extract(tar_bytes({"good.slp": BODY}, link, through), out)
    assert found.skipped == {"link or device": 1}
    assert not any(path.is_symlink() for path in all_files(out))
    assert contents(out) == {"good.slp": BODY, "link.slp/through.slp": b""}


def test_links_in_a_zip_are_skipped(out: Path) -> None:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo("link.slp")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("good.slp", BODY)
    assert extract(file.getvalue(), out).skipped == {"link or device": 1}
    assert contents(out) == {"good.slp": BODY}


def test_links_in_a_7z_are_skipped(out: Path, tmp_path: Path) -> None:
    import py7zr

    (tmp_path / "link.slp").symlink_to("good.slp")
    write(tmp_path, "good.slp", BODY)
    with py7zr.SevenZipFile(tmp_path / "x.7z", "w") as archive:
        archive.write(tmp_path / "link.slp", "link.slp")
        archive.write(tmp_path / "good.slp", "good.slp")
    found = extract_archive(tmp_path / "x.7z", out, Quiet())
    assert found.skipped == {"link or device": 1}
    assert contents(out) == {"good.slp": BODY}


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_differ_by_case_alone_all_stay(out: Path, kind: str) -> None:
    assert extract(archive_bytes(kind, SAME_CASE), out).replays == 3
    files = contents(out)
    assert sorted(files.values()) == sorted(SAME_CASE.values())
    assert len({name.casefold() for name in files}) == 3


def test_a_name_that_stands_twice_stays_twice(out: Path) -> None:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.slp", b"one")
        archive.writestr("a.slp", b"two")
    assert extract(file.getvalue(), out).replays == 2
    assert contents(out) == {"a.slp": b"one", "a (2).slp": b"two"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_stopped(out: Path, kind: str) -> None:
    body = archive_bytes(kind, {f"{i}.slp": bytes(400_000) for i in range(10)})
    limits = Limits(total=1_000_000)
    with pytest.raises(ExtractError, match=r"x\.bin: its .* bytes have become .*Limits"):
        extract(body, out, limits)
    assert sum(path.stat().st_size for path in all_files(out)) <= 1_000_000 + (1 << 20)


def test_a_packed_replay_that_swells_is_skipped(out: Path) -> None:
    members = {"bomb.slp.gz": gzip.compress(bytes(1 << 20)), "good.slp": BODY}
    found = extract(tar_bytes(members), out, Limits(replay=1 << 16))
    assert found.skipped == {"too large for a replay": 1}
    assert contents(out) == {"good.slp": BODY}


def test_too_many_members_are_refused(out: Path) -> None:
    with pytest.raises(ExtractError, match="holds more than 10 files"):
        extract(tar_bytes({f"{i}.slp": b"" for i in range(11)}), out, Limits(members=10))


def test_a_disk_with_too_little_left_is_named(out: Path) -> None:
    body = tar_bytes({f"{i}.slp": os.urandom(1 << 20) for i in range(70)})
    with pytest.raises(ExtractError, match=r"the disk of .* is full .* free some and run again"):
        extract(body, out, Limits(spare=1 << 60))


def test_archives_inside_archives_give_their_replays(out: Path) -> None:
    inner = seven_bytes({"a.slp": BODY, "b.txt": b""})
    middle = zip_bytes({"deep/inner.7z": inner, "c.slp": b"c"})
    outer = tar_bytes({"x/middle.zip": middle, "d.slp": b"d", "fake.zip": b"no archive"})
    found = extract(outer, out)
    assert contents(out) == {
        "d.slp": b"d",
        "x/middle.zip/c.slp": b"c",
        "x/middle.zip/deep/inner.7z/a.slp": BODY,
    }
    assert found.skipped == {"not a replay": 1, "archive that cannot be opened": 1}
    assert found.damage == [
        "fake.zip is not an archive: neither 7z, zip nor tar by its first bytes"
    ]
    assert {p.name for p in out.iterdir()} == {"x", "d.slp"}


def test_archives_in_each_other_without_end_are_left_alone(out: Path) -> None:
    body = zip_bytes({"a.slp": BODY})
    for _ in range(6):
        body = zip_bytes({"in.zip": body})
    assert extract(body, out).skipped == {"archive too deep": 1}


def test_an_encrypted_7z_is_named(out: Path) -> None:
    names_and_all = seven_bytes({"a.slp": BODY}, password="secret", hide_names=True)
    with pytest.raises(ExtractError, match=r"x\.bin is encrypted, names and all: unpack it"):
        extract(names_and_all, out)
    found = extract(seven_bytes({"a.slp": BODY, "b.slp": BODY}, password="secret"), out)
    assert found.skipped == {"encrypted": 2}
    assert contents(out) == {}


def test_an_encrypted_member_of_a_zip_is_counted(out: Path) -> None:
    body = bytearray(zip_bytes({"a.slp": BODY, "b.slp": b"b"}, zipfile.ZIP_STORED))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(magic) + flags] |= 1
    assert extract(bytes(body), out).skipped == {"encrypted": 1}
    assert contents(out) == {"b.slp": b"b"}


MANY = {f"{i:02d}.slp": random.Random(i).randbytes(20_000) for i in range(20)}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "tar.zst"])
def test_of_a_tar_that_breaks_off_what_comes_before_is_kept(out: Path, kind: str) -> None:
    body = archive_bytes(kind, MANY)
    found = extract(body[: len(body) * 2 // 3], out)
    files = contents(out)
    assert len(files) >= 10
    assert files.items() <= MANY.items()
    assert found.replays == len(files) < 20
    assert found.damage
    assert sum(found.skipped.values()) >= 1


def test_a_tar_that_breaks_off_between_members_is_not_taken_for_whole(out: Path) -> None:
    body = tar_bytes(MANY)
    member = 512 + -(-20_000 // 512) * 512
    found = extract(body[: 5 * member], out)
    assert found.replays == 5
    assert found.skipped == {"rest of a damaged archive": 1}
    assert "breaks off" in found.damage[0]


@pytest.mark.parametrize("kind", ["zip", "7z"])
def test_a_cut_archive_whose_contents_stood_at_its_end_is_named(out: Path, kind: str) -> None:
    body = archive_bytes(kind, MANY)
    with pytest.raises(ExtractError, match=r"x\.bin cannot be extracted: .*damaged.*again"):
        extract(body[: len(body) * 2 // 3], out)


def test_a_damaged_member_of_a_zip_costs_itself_alone(out: Path) -> None:
    body = bytearray(zip_bytes(MANY))
    body[len(body) // 2] ^= 0xFF
    found = extract(bytes(body), out)
    assert found.skipped == {"damaged": 1}
    assert contents(out).items() <= MANY.items()
    assert len(contents(out)) == 19
    assert found.damage[0].startswith("10.slp: BadZipFile")


def test_of_a_damaged_7z_what_comes_before_is_kept(out: Path) -> None:
    body = bytearray(seven_bytes(MANY))
    middle = len(body) // 2
    body[middle : middle + 8] = bytes(8)
    found = extract(bytes(body), out)
    files = contents(out)
    assert files.items() <= MANY.items()
    assert 5 <= len(files) < 20
    assert found.replays + found.skipped["damaged"] == 20


def test_a_damaged_block_of_a_7z_costs_no_other_block(out: Path) -> None:
    """Appending to a 7z starts a new block: here one for each member."""
    import py7zr

    file = BytesIO()
    for number, (name, body) in enumerate(MANY.items()):
        file.seek(0)
        with py7zr.SevenZipFile(file, "a" if number else "w") as archive:
            archive.writestr(body, name)
    data = bytearray(file.getvalue())
    data[len(data) // 2] ^= 0xFF
    found = extract(bytes(data), out)
    assert len(contents(out)) == 19
    assert contents(out).items() <= MANY.items()
    assert found.skipped == {"damaged": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_damage_anywhere_ends_in_a_named_error_or_in_whole_replays(out: Path, kind: str) -> None:
    """Nothing but ExtractError comes out, and no replay that is not as it was packed."""
    members = {f"{i}.slp": random.Random(i).randbytes(300) * 3 for i in range(8)}
    whole = archive_bytes(kind, members)
    rng = random.Random(kind)
    for number in range(60):
        body = bytearray(whole)
        for _ in range(rng.choice([1, 1, 3, 20])):
            body[rng.randrange(8, len(body))] = rng.randrange(256)
        if number % 4 == 0:
            body = body[: rng.randrange(8, len(body))]
        folder = out / str(number)
        folder.mkdir()
        try:
            extract(bytes(body), folder)
        except ExtractError as error:
            assert "x.bin" in str(error)
        # A plain tar has no checksums of contents, nor has what packs it in every case.
        if kind in ("zip", "7z", "tar.xz"):
            assert set(contents(folder).values()) <= set(members.values())
