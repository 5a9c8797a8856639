"""Packed rows to numbers, on the device: the one place where scales and vocabularies apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from melee_pipeline.schema.encoding import Encoding, Slot
from melee_pipeline.schema.field import Kind, Op
from melee_pipeline.schema.rows import available_index, pack_of, place_of
from melee_pipeline.tensors.records import Blocks


@dataclass(frozen=True, slots=True)
class Decoded:
    """Frames in an encoding's units. What a replay does not record is 0 here, False in the mask.

    P = 2 players; leading dimensions are the batch and time.
    """

    continuous: Tensor  # (B, T, P, C) float32, as Encoding.continuous
    binary: Tensor  # (B, T, P, N) float32 0 or 1, as Encoding.binary
    control: Tensor  # (B, T, P, 13) float32, as Encoding.control
    category: dict[str, Tensor]  # name -> (B, T, P) int64, inside the vocabulary
    shared: dict[str, Tensor]  # name -> (B, T) int64, inside the vocabulary
    available: dict[str, Tensor]  # name -> (B,) bool

    def frames(self, start: int, stop: int | None = None) -> Decoded:
        """The frames start … stop−1 of each window."""
        part = slice(start, stop)
        return Decoded(
            self.continuous[:, part],
            self.binary[:, part],
            self.control[:, part],
            {name: ids[:, part] for name, ids in self.category.items()},
            {name: ids[:, part] for name, ids in self.shared.items()},
            self.available,
        )


class _Scaled(nn.Module):
    """Continuous slots that lie in one block, scaled: (…, P, K) packed -> (…, P, slots)."""

    columns: Tensor
    divide: Tensor
    scale: Tensor

    def __init__(self, block: str, slots: Sequence[Slot]) -> None:
        super().__init__()
        self.block = block
        columns = torch.tensor([place_of(s.field.name)[1] for s in slots])
        divide = torch.tensor([float(pack_of(s.field).per_unit or 1) for s in slots])
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("divide", divide, persistent=False)
        self.register_buffer("scale", torch.tensor([s.use.scale for s in slots]), persistent=False)

    def forward(self, blocks: Blocks) -> Tensor:
        packed = blocks[self.block].index_select(-1, self.columns)
        return packed.float() / self.divide * self.scale


class _Bits(nn.Module):
    """Binary slots that are bits of one field: (…, P, K) packed -> (…, P, slots)."""

    bits: Tensor

    def __init__(self, field: str, slots: Sequence[Slot]) -> None:
        super().__init__()
        self.block, self.column = place_of(field)
        bits = torch.tensor([s.feature.bit for s in slots])
        self.register_buffer("bits", bits, persistent=False)

    def forward(self, blocks: Blocks) -> Tensor:
        packed = blocks[self.block][..., self.column, None]
        return ((packed >> self.bits) & 1).float()


class _Flag(nn.Module):
    """One binary slot: (…, P, K) packed -> (…, P, 1)."""

    def __init__(self, slot: Slot) -> None:
        super().__init__()
        self.block, self.column = place_of(slot.field.name)
        self.feature = slot.feature

    def forward(self, blocks: Blocks) -> Tensor:
        flags: Tensor = self.feature.read(blocks[self.block][..., self.column, None])
        return flags.float()


class _Numbers(nn.Module):
    """A player's slots as floats, side by side in the order given: (…, P, len(slots)).

    Slots are read group by group (a block's numbers, a field's bits), so that the number of small
    operations stays far below the number of slots.
    """

    order: Tensor
    mask_index: Tensor

    def __init__(self, slots: Sequence[Slot]) -> None:
        super().__init__()
        groups: dict[tuple[str, str], list[int]] = {}
        for i, slot in enumerate(slots):
            groups.setdefault(_group_of(slot), []).append(i)
        self.readers = nn.ModuleList(
            _reader(kind, key, [slots[i] for i in members])
            for (kind, key), members in groups.items()
        )
        read_order = [i for members in groups.values() for i in members]
        order = torch.tensor(read_order, dtype=torch.int64).argsort()
        masks = torch.tensor([available_index(s.field.name) for s in slots], dtype=torch.int64)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("mask_index", masks, persistent=False)

    def forward(self, blocks: Blocks, available: Tensor) -> Tensor:
        values = torch.cat([reader(blocks) for reader in self.readers], dim=-1)
        recorded = available.index_select(-1, self.mask_index)[:, None, None, :]
        return values.index_select(-1, self.order) * recorded


def _group_of(slot: Slot) -> tuple[str, str]:
    if slot.feature.kind is Kind.CONTINUOUS:
        return "scaled", place_of(slot.field.name)[0]
    return ("bits" if slot.feature.op is Op.BIT else "flag"), slot.field.name


def _reader(kind: str, key: str, slots: Sequence[Slot]) -> nn.Module:
    if kind == "scaled":
        return _Scaled(key, slots)
    return _Bits(key, slots) if kind == "bits" else _Flag(slots[0])


class Decoder(nn.Module):
    """Packed blocks of windows to an encoding's numbers and ids."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.encoding = encoding
        self.continuous = _Numbers(encoding.continuous)
        self.binary = _Numbers(encoding.binary)
        self.control = _Numbers(encoding.control)

    def forward(self, blocks: Blocks, available: Tensor) -> Decoded:
        """`blocks`: each (B, T, *row_shape) packed; `available`: (B, F) bool."""
        return Decoded(
            self.continuous(blocks, available),
            self.binary(blocks, available),
            self.control(blocks, available),
            {s.name: _ids(s, blocks, available) for s in self.encoding.category},
            {s.name: _ids(s, blocks, available) for s in self.encoding.shared},
            {s.name: available[:, available_index(s.field.name)] for s in self.encoding.slots},
        )


def _ids(slot: Slot, blocks: Blocks, available: Tensor) -> Tensor:
    """Ids inside the vocabulary; what it does not hold, or is not recorded, is `unknown`."""
    block, column = place_of(slot.field.name)
    ids = blocks[block][..., column].long()
    recorded = available[:, available_index(slot.field.name)]
    known = (ids < slot.vocabulary.size) & recorded.view(-1, *[1] * (ids.dim() - 1))
    return torch.where(known, ids, slot.vocabulary.unknown)
