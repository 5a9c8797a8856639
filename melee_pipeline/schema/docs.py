"""`docs/fields.md`, written from the field table: python -m melee_pipeline.schema.docs > …"""

from __future__ import annotations

from melee_pipeline.schema.beside import COLUMNS, KEYS, Beside
from melee_pipeline.schema.columns import column_names
from melee_pipeline.schema.encoding import encoding
from melee_pipeline.schema.field import Field, Predict
from melee_pipeline.schema.rows import bytes_per_frame
from melee_pipeline.schema.table import DERIVED, ENCODINGS, FIELDS

_INTRO = """# Fields

Made from `melee_pipeline/schema/table.py` by `make docs`; a test fails when the two differ.

A replay's frame becomes one row of Parquet (the columns below, in game units), then {bytes} bytes
in a tensor shard (both players), then the input of a model. Null means that the replay's version
does not record the field; a shard keeps that as a mask.
"""


def _packed(field: Field) -> str:
    if field.pack is None:
        return ""
    step = f", 1/{field.pack.per_unit}" if field.pack.per_unit > 1 else ""
    absolute, relative = field.pack.tolerance
    error = "exact" if not absolute else f"±{absolute:.2g}"
    if absolute and relative > 2.0**-20:
        error = f"±{relative:.2g} of the value"
    return f"{field.pack.dtype}{step} ({error})"


def _version(field: Field) -> str:
    return ".".join(map(str, field.since))


def _columns() -> list[str]:
    lines = [
        "## Recorded columns",
        "",
        "| field | Parquet | in the replay | since | role | unit | packed (error) | fed as |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for field in FIELDS:
        name = ", ".join(f"`{column}`" for column in column_names(field))
        fed = ", ".join(f.name for f in field.features) or f"kept for: {field.kept_for}"
        lines.append(
            f"| {field.name} | {name} {field.dtype} | `{field.path}` | {_version(field)} "
            f"| {field.role} | {field.unit} | {_packed(field)} | {fed} |"
        )
    return lines


def _derived() -> list[str]:
    lines = [
        "",
        "## Derived for shards",
        "",
        "Made from a parsed game when it is packed; no Parquet column holds them.",
        "",
        "| field | from | since | unit | packed (error) | fed as |",
        "|---|---|---|---|---|---|",
    ]
    for field in DERIVED:
        fed = ", ".join(f.name for f in field.features)
        lines.append(
            f"| {field.name} | {field.path} | {_version(field)} | {field.unit} "
            f"| {_packed(field)} | {fed} |"
        )
    return lines


def _beside() -> list[str]:
    lines = ["", "## Tables beside the frames", ""]
    lines.append("A game has such a table only if it has rows for it: `<table>/<md5>.parquet`.")
    for table in Beside:
        keys = " and ".join(f"`{name}` {dtype}" for name, dtype in KEYS[table])
        lines += ["", f"### {table}", "", f"A row says by {keys} where it belongs."]
        if table is Beside.FOLLOWERS:
            lines.append("Nana: her columns are those of a player, above, without `p0_`.")
            continue
        lines += ["", "| column | type | in the replay | since | unit |", "|---|---|---|---|---|"]
        lines += [
            f"| {c.name} | {c.dtype} | `{c.path}` | {'.'.join(map(str, c.since))} | {c.unit} |"
            for c in COLUMNS[table]
        ]
    return lines


_SCHEME = {
    "conditioned": "Beside the state of a frame stand the controllers of the next one, which is to "
    "be predicted.",
    "changes": "A number whose change is predicted is fed with its last change, too.",
    "masks": "Masks tell the model which fields the replay records.",
    "ego": "Each player is predicted from its own side: itself first, then the other.",
    "persistent": "Predictions start from what was: learned transitions of classes, trust in flags "
    "and shares of the last change.",
}


def _encoding(version: str) -> list[str]:
    enc = encoding(version)
    told = [text for name, text in _SCHEME.items() if getattr(enc.scheme, name)]
    lines = [
        "",
        f"## Encoding {version}",
        "",
        f"{enc.per_player} numbers a player, {enc.per_frame} a frame; schema `{enc.schema_hash}`.",
        "What a replay does not record enters as 0 (as *unknown* for categories) and is left out",
        "of losses and metrics.",
        *told,
        "",
        "| feature | from | scope | kind | scale | vocabulary → width | predicted |",
        "|---|---|---|---|---|---|---|",
    ]
    for slot in enc.slots:
        vocabulary = slot.use.vocabulary
        words = (
            f"{vocabulary.size} → {slot.use.width}, unknown {vocabulary.unknown}"
            if vocabulary
            else ""
        )
        predicted = "" if slot.use.predict is Predict.NO else slot.use.predict.value
        if slot.use.step:
            predicted += f" in steps of {slot.use.step:g}"
        op = "" if slot.feature.name == slot.field.name else f" {slot.feature.op}"
        bit = f" {slot.feature.bit}" if slot.feature.op == "bit" else ""
        lines.append(
            f"| {slot.name} | {slot.field.name}{op}{bit} | {slot.field.scope} "
            f"| {slot.feature.kind} | ×{slot.use.scale:g} | {words} | {predicted} |"
        )
    return lines


def page() -> str:
    """The whole page, as Markdown."""
    lines = [_INTRO.format(bytes=bytes_per_frame()), *_columns(), *_derived(), *_beside()]
    for version in ENCODINGS:
        lines += _encoding(version)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
