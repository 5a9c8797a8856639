"""Pictures for the UI: drawn with matplotlib, embedded in Markdown as data URIs."""

import base64
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from melee_pipeline.replays.index import IndexRow


def embed(path: Path) -> str:
    """A PNG on disk as Markdown."""
    return _markdown(path.read_bytes()) if path.exists() else f"`{path.name}` was not drawn"


def _markdown(png: bytes) -> str:
    return f"![](data:image/png;base64,{base64.b64encode(png).decode()})"


def _draw(figure: Any) -> str:  # noqa: ANN401 - matplotlib has no types of its own here
    out = BytesIO()
    figure.savefig(out, format="png", dpi=90, bbox_inches="tight")
    return _markdown(out.getvalue())


def characters_by_stage(rows: "Sequence[IndexRow]") -> str:
    """How often each character was played on each stage, as a heat map."""
    from matplotlib.figure import Figure

    from melee_pipeline.replays.index import KEPT
    from melee_pipeline.schema.vocab import external_name, stage_name

    counts = Counter(
        (external_name(player.character), stage_name(int(row.stage or 0)))
        for row in rows
        if row.verdict == KEPT
        for player in row.players
    )
    if not counts:
        return "no games"
    characters = sorted({c for c, _ in counts})
    stages = sorted({s for _, s in counts})
    figure = Figure(figsize=(2 + 0.9 * len(stages), 1.2 + 0.28 * len(characters)))
    axes = figure.subplots()
    grid = [[counts[c, s] for s in stages] for c in characters]
    axes.imshow(grid, cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(stages)), stages, rotation=30, ha="right")
    axes.set_yticks(range(len(characters)), characters)
    top = max(counts.values())
    for y, line in enumerate(grid):
        for x, count in enumerate(line):
            if count:
                axes.text(x, y, str(count), ha="center", va="center", color=_ink(count, top))
    axes.set_title("players by character and stage")
    return _draw(figure)


def _ink(count: int, top: int) -> str:
    return "white" if count > 0.6 * top else "black"


def game_lengths(rows: "Sequence[IndexRow]") -> str:
    """A histogram of game lengths in minutes."""
    from matplotlib.figure import Figure

    from melee_pipeline.replays.index import KEPT

    minutes = [row.frames / 3600 for row in rows if row.verdict == KEPT and row.frames]
    if not minutes:
        return "no games"
    figure = Figure(figsize=(5, 2.2))
    axes = figure.subplots()
    axes.hist(minutes, bins=24, color="#4878a8")
    axes.set_xlabel("minutes")
    axes.set_ylabel("games")
    return _draw(figure)
