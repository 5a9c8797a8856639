"""Replays to a folder that slippi-ai trains from: `games/<md5>` beside `meta.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from melee_pipeline.errors import ReplayError
from melee_pipeline.progress import Progress
from melee_pipeline.replays.filters import Filters, Reason, Refusal
from melee_pipeline.replays.frames import Replay
from melee_pipeline.replays.slippi_ai import slippi_ai_game, to_slippi_ai
from melee_pipeline.replays.stream import load
from melee_pipeline.replays.verdict import read_and_judge, unreadable
from melee_pipeline.sources.unpack import ReplayFile
from melee_pipeline.store import atomic_file, read_json, write_json

LEFT_OUT = "left_out.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export made: records of the games in its folder, and what became of the files."""

    games: list[dict[str, Any]]
    files: list[tuple[str, Refusal | None]]  # those met now, with why they were left out

    @property
    def refused(self) -> dict[str, Refusal]:
        """Why files were left out, by name."""
        return {name: refusal for name, refusal in self.files if refusal}


def export_files(
    files: Sequence[ReplayFile], out: Path, progress: Progress, filters: Filters | None = None
) -> Exported:
    """Write `out/games/<md5>` for every replay that the filters keep, and `out/meta.json`.

    Of the same replay twice one is written. What an earlier export left in `out` stays in both
    lists. Names and connect codes stay out of `meta.json`; `left_out.json` names the files that
    are no games of it, with the reasons.
    """
    games = {record["slp_md5"]: record for record in _former(out)}
    met: set[str] = set()
    found: list[tuple[str, Refusal | None]] = []
    with progress.task("export", len(files), "files") as advance:
        for file in files:
            one = _export(file, out, filters or Filters())
            if isinstance(one, Refusal):
                found.append((file.name, one))
            else:
                md5 = str(one["slp_md5"])
                again = Refusal(Reason.DUPLICATE, f"the same file as {md5}")
                found.append((file.name, again if md5 in met else None))
                met.add(md5)
                games[md5] = one
            advance(1)
    records = [games[md5] for md5 in sorted(games)]
    write_json(out / "meta.json", records)
    write_json(out / LEFT_OUT, _left_out(out, found))
    return Exported(records, found)


def _left_out(out: Path, found: Sequence[tuple[str, Refusal | None]]) -> list[dict[str, str]]:
    """The files that are no games, now and in earlier exports; of one met again, what holds now."""
    earlier = read_json(out / LEFT_OUT) if (out / LEFT_OUT).exists() else []
    met = {name for name, _ in found}
    told = [record for record in earlier if record["name"] not in met]
    told += [
        {"name": name, "reason": refusal.reason, "detail": refusal.detail}
        for name, refusal in found
        if refusal
    ]
    return sorted(told, key=lambda record: record["name"])


def _former(out: Path) -> list[dict[str, Any]]:
    """Records of the games that an earlier export left."""
    listed = read_json(out / "meta.json") if (out / "meta.json").exists() else []
    return [record for record in listed if (out / "games" / record["slp_md5"]).exists()]


def _export(file: ReplayFile, out: Path, filters: Filters) -> dict[str, Any] | Refusal:
    try:
        data = load(file.path)
    except ReplayError as error:
        return Refusal(Reason.UNREADABLE, str(error))
    judged = read_and_judge(data, filters)
    if judged.refusal is not None:
        return judged.refusal
    assert judged.replay is not None and judged.start is not None
    try:
        game = slippi_ai_game(judged.replay)
    except ReplayError as error:
        return unreadable(error, judged.start, filters)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    content = to_slippi_ai(game)
    with atomic_file(out / "games" / md5) as temporary:
        temporary.write_bytes(content)
    return _record(judged.replay, game, md5, len(data), len(content))


def _record(
    replay: Replay, game: pa.StructArray, md5: str, bytes_: int, packed: int
) -> dict[str, Any]:
    """What slippi-ai's list says of a game."""
    return {
        "slp_md5": md5,
        "slp_size": bytes_,
        "lastFrame": int(replay.frame_ids().max()),
        "slippi_version": list(replay.version),
        "num_players": len(replay.players),
        "players": [
            {"port": int(p.port[1]) - 1, "character": _first_fighter(game, i), "type": 0}
            for i, p in enumerate(replay.players)
        ],
        "stage": replay.stage,
        "timer": replay.timer,
        "is_teams": replay.is_teams,
        "valid": True,
        "is_training": True,
        "not_training_reason": "",
        "pq_size": packed,
        "compression": "zlib",
    }


def _first_fighter(game: pa.StructArray, player: int) -> int:
    return int(game.field(f"p{player}").field("character")[0].as_py())
