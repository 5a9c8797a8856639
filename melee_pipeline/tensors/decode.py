"""Packed rows to numbers, on the device: the one place where scales and vocabularies apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from melee_pipeline.schema.encoding import Encoding, Slot
from melee_pipeline.schema.field import Kind, Op, Predict
from melee_pipeline.schema.rows import available_index, pack_of, place_of
from melee_pipeline.tensors.records import Blocks


@dataclass(frozen=True, slots=True)
class Decoded:
    """Frames in an encoding's units. What a replay does not record is 0 here, False in the mask.

    P = 2 players; leading dimensions are the batch and time. `change` is 0 on the first frame of a
    window: what came before it is not known.
    """

    continuous: Tensor  # (B, T, P, C) float32, as Encoding.continuous
    change: Tensor  # (B, T, P, D) float32, since the frame before, in Use.unit
    binary: Tensor  # (B, T, P, N) float32 0 or 1, as Encoding.binary
    control: Tensor  # (B, T, P, 13) float32, as Encoding.control
    category: dict[str, Tensor]  # name -> (B, T, P) int64, inside the vocabulary
    shared: dict[str, Tensor]  # name -> (B, T) int64, inside the vocabulary
    available: dict[str, Tensor]  # name -> (B,) bool
    masks: Tensor  # (B, M) float32 0 or 1, as Encoding.masks

    def frames(self, start: int, stop: int | None = None) -> Decoded:
        """The frames start … stop−1 of each window."""
        part = slice(start, stop)
        return Decoded(
            self.continuous[:, part],
            self.change[:, part],
            self.binary[:, part],
            self.control[:, part],
            {name: ids[:, part] for name, ids in self.category.items()},
            {name: ids[:, part] for name, ids in self.shared.items()},
            self.available,
            self.masks,
        )

    def as_window(self) -> Decoded:
        """The same frames as a window of their own."""
        return replace(self, change=functional.pad(self.change[:, 1:], (0, 0, 0, 0, 1, 0)))


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
        stored = pack_of(slots[0].field).bits  # side by side, from bit 0 on
        bits = torch.tensor([stored.index(s.feature.bit) for s in slots], dtype=torch.uint8)
        self.register_buffer("bits", bits, persistent=False)

    def forward(self, blocks: Blocks) -> Tensor:
        packed = blocks[self.block][..., self.column, None]
        return ((packed >> self.bits) & 1).float()


_FLAGS: Mapping[Op, Callable[[Tensor], Tensor]] = {
    Op.POSITIVE: lambda values: values > 0,
    Op.ZERO: lambda values: values == 0,
    Op.NONZERO: lambda values: values != 0,
}


class _Flag(nn.Module):
    """One binary slot: (…, P, K) packed -> (…, P, 1)."""

    def __init__(self, slot: Slot) -> None:
        super().__init__()
        self.block, self.column = place_of(slot.field.name)
        self.read = _FLAGS[slot.feature.op]

    def forward(self, blocks: Blocks) -> Tensor:
        return self.read(blocks[self.block][..., self.column, None]).float()


class _Numbers(nn.Module):
    """A player's slots as floats, side by side in the order given: (…, P, len(slots)).

    Slots are read group by group (a block's numbers, a field's bits), so that the number of small
    operations stays far below the number of slots.
    """

    order: Tensor | None  # None: slots are read in the order given, as most are
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
        in_order = read_order == sorted(read_order)
        order = None if in_order else torch.tensor(read_order, dtype=torch.int64).argsort()
        masks = torch.tensor([available_index(s.field.name) for s in slots], dtype=torch.int64)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("mask_index", masks, persistent=False)

    def forward(self, blocks: Blocks, available: Tensor) -> Tensor:
        values = torch.cat([reader(blocks) for reader in self.readers], dim=-1)
        recorded = available.index_select(-1, self.mask_index)[:, None, None, :]
        if self.order is not None:
            values = values.index_select(-1, self.order)
        return values * recorded


def _group_of(slot: Slot) -> tuple[str, str]:
    if slot.feature.kind is Kind.CONTINUOUS:
        return "scaled", place_of(slot.field.name)[0]
    return ("bits" if slot.feature.op is Op.BIT else "flag"), slot.field.name


def _reader(kind: str, key: str, slots: Sequence[Slot]) -> nn.Module:
    if kind == "scaled":
        return _Scaled(key, slots)
    return _Bits(key, slots) if kind == "bits" else _Flag(slots[0])


class _Change(nn.Module):
    """How what is predicted as a change has changed: (B, T, P, C) -> (B, T, P, D), in Use.unit."""

    columns: Tensor
    per_unit: Tensor

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        slots = encoding.predicted(Predict.DELTA)
        units = torch.tensor([slot.use.fed_unit for slot in slots])
        self.register_buffer("columns", places(slots, encoding.continuous), persistent=False)
        self.register_buffer("per_unit", units, persistent=False)

    def forward(self, continuous: Tensor) -> Tensor:
        changing = continuous.index_select(-1, self.columns) / self.per_unit
        # What came before a window's first frame is not known.
        return functional.pad(changing[:, 1:] - changing[:, :-1], (0, 0, 0, 0, 1, 0))


class Decoder(nn.Module):
    """Packed blocks of windows to an encoding's numbers and ids."""

    masks: Tensor

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.encoding = encoding
        self.continuous = _Numbers(encoding.continuous)
        self.change = _Change(encoding)
        self.binary = _Numbers(encoding.binary)
        self.control = _Numbers(encoding.control)
        masks = [available_index(field.name) for field in encoding.masks]
        self.register_buffer("masks", torch.tensor(masks, dtype=torch.int64), persistent=False)

    def forward(self, blocks: Blocks, available: Tensor) -> Decoded:
        """`blocks`: each (B, T, *row_shape) packed; `available`: (B, F) bool."""
        continuous = self.continuous(blocks, available)
        return Decoded(
            continuous,
            self.change(continuous),
            self.binary(blocks, available),
            self.control(blocks, available),
            {s.name: _ids(s, blocks, available) for s in self.encoding.category},
            {s.name: _ids(s, blocks, available) for s in self.encoding.shared},
            {s.name: available[:, available_index(s.field.name)] for s in self.encoding.slots},
            available.index_select(-1, self.masks).float(),
        )


def places(some: tuple[Slot, ...], among: tuple[Slot, ...]) -> Tensor:
    """Where slots stand among others, (len(some),) int64."""
    names = [slot.name for slot in among]
    return torch.tensor([names.index(slot.name) for slot in some], dtype=torch.int64)


def _ids(slot: Slot, blocks: Blocks, available: Tensor) -> Tensor:
    """Ids inside the vocabulary; what it does not hold, or is not recorded, is `unknown`."""
    block, column = place_of(slot.field.name)
    ids = blocks[block][..., column].long()
    recorded = available[:, available_index(slot.field.name)]
    known = (ids < slot.vocabulary.size) & recorded.view(-1, *[1] * (ids.dim() - 1))
    return torch.where(known, ids, slot.vocabulary.unknown)
