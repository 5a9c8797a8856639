"""Records: the bytes of a frame, joined and split again, and no wider than the field table says."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from melee_pipeline.schema.rows import blocks, bytes_per_frame
from melee_pipeline.tensors.records import RecordLayout, shard_layout

KINDS = st.lists(
    st.tuples(
        st.sampled_from(["f4", "f2", "i2", "i1", "u1"]),
        st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=5,
)


@given(KINDS, st.integers(0, 4), st.data())
def test_split_gives_back_what_was_joined(kinds: Any, frames: int, data: st.DataObject) -> None:  # noqa: ANN401
    """Whatever the order of dtypes, so also where a number starts in the middle of a word."""
    layout = RecordLayout.of((str(i), dtype, shape) for i, (dtype, shape) in enumerate(kinds))
    rows = {
        str(i): data.draw(hnp.arrays(dtype, (frames, *shape)))
        for i, (dtype, shape) in enumerate(kinds)
    }
    records = layout.join(rows)
    assert records.shape == (frames, layout.width)
    assert records.dtype == np.uint8
    assert [row.tobytes() for row in records] == [
        b"".join(block[frame].tobytes() for block in rows.values()) for frame in range(frames)
    ]
    for name, found in layout.split(torch.from_numpy(records)).items():
        assert (found.shape, found.numpy().dtype) == (rows[name].shape, rows[name].dtype)
        assert found.numpy().tobytes() == rows[name].tobytes()


def test_split_keeps_what_comes_before_the_record() -> None:
    layout = RecordLayout.of([("a", "u1", (1,)), ("b", "f4", (2, 3))])
    records = torch.randint(0, 255, (5, 7, layout.width), dtype=torch.uint8)
    found = layout.split(records)
    assert [tuple(block.shape) for block in found.values()] == [(5, 7, 1), (5, 7, 2, 3)]
    assert found["b"][4, 6].numpy().tobytes() == records[4, 6, 1:].numpy().tobytes()


def test_a_record_of_a_shard_has_no_padding() -> None:
    """design: at most 100 bytes a frame, both players together."""
    assert shard_layout().width == bytes_per_frame() <= 100
    assert [place.name for place in shard_layout().places] == [block.name for block in blocks()]
