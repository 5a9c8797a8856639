"""No name leads outside, and none takes another's place."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melee_pipeline.sources.names import Names, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Game_1.slp", "Game_1.slp"),
        ("día/spaces here/Game é.slp", "día/spaces here/Game é.slp"),
        ("Who's #1?/a:b.slp", "Who's #1?/a:b.slp"),
        ("/etc/passwd.slp", "etc/passwd.slp"),
        ("//server/share/a.slp", "server/share/a.slp"),
        ("../../a.slp", "a.slp"),
        ("a/../../../b.slp", "a/b.slp"),
        ("./a.slp", "a.slp"),
        ("C:\\Users\\me\\a.slp", "C_/Users/me/a.slp"),
        ("c:a.slp", "c_a.slp"),
        ("..\\..\\a.slp", "a.slp"),
        ("\\\\server\\share\\a.slp", "server/share/a.slp"),
        ("a\0b\nc.slp", "a_b_c.slp"),
        (unicodedata.normalize("NFD", "é.slp"), "é.slp"),
        (b"\xff\xfe.slp".decode("utf-8", "surrogateescape"), "\ufffd\ufffd.slp"),
        ("", "_"),
        ("..", "_"),
    ],
)
def test_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_long_names_are_cut_and_told_apart() -> None:
    one, two = safe_name("é" * 300 + "1.slp.gz"), safe_name("é" * 300 + "2.slp.gz")
    assert one != two
    for name in (one, two):
        assert len(name.encode()) <= 160
        assert name.startswith("ééé")
        assert name.endswith(".slp.gz")
    deep = safe_name("/".join(["folder"] * 1000) + "/a.slp")
    assert len(deep.encode()) < 900
    assert deep.endswith("/a.slp")


@given(st.text(alphabet=st.one_of(st.sampled_from("./\\:aA\0 é"), st.characters()), max_size=60))
def test_no_name_leads_outside(name: str) -> None:
    safe = safe_name(name)
    parts = PurePosixPath(safe).parts
    assert not safe.startswith("/")
    assert ".." not in parts
    assert "\\" not in safe
    assert (Path("/target") / safe).resolve().is_relative_to("/target")
    assert safe.encode()
    assert safe_name(safe) == safe


@given(
    st.lists(
        st.sampled_from(
            [
                "a.slp",
                "A.slp",
                "a (2).slp",
                "a.slp/b.slp",
                "b/a.slp",
                "B/A.slp",
                "b",
                "é.slp",
                "É.slp",
            ]
        ),
        max_size=20,
    )
)
def test_no_two_names_meet(names: list[str]) -> None:
    """Not even on a disk that does not tell upper from lower case, and no file is a folder."""
    taken = Names()
    given_out = [taken.take(name).casefold() for name in names]
    assert len(set(given_out)) == len(given_out)
    folders = {str(parent) for name in given_out for parent in PurePosixPath(name).parents}
    assert not folders & set(given_out)
