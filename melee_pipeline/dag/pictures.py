"""Pictures for the UI, embedded in Markdown as data URIs.

Dagster shows Markdown of fewer than a thousand characters on the page itself and hides the rest
behind *Show Markdown*. So each subject has a small drawing, a few lines in SVG, and where there is
more to see a large one drawn with matplotlib.
"""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
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


def _counts(rows: "Sequence[IndexRow]") -> Counter[tuple[str, str]]:
    """Players of kept games by character and stage."""
    from melee_pipeline.replays.index import KEPT
    from melee_pipeline.schema.vocab import external_name, stage_name

    return Counter(
        (_label(external_name(player.character)), _label(stage_name(int(row.stage or 0))))
        for row in rows
        if row.verdict == KEPT
        for player in row.players
    )


def most_played(rows: "Sequence[IndexRow]", most: int = 8) -> list[dict[str, str | int]]:
    """The characters played most, and how often on each stage: rows of a table."""
    counts = _counts(rows)
    totals: Counter[str] = Counter()
    for (character, _), count in counts.items():
        totals[character] += count
    stages = sorted({stage for _, stage in counts})
    return [
        {"character": name, "players": total, **{stage: counts[name, stage] for stage in stages}}
        for name, total in totals.most_common(most)
    ]


def characters_by_stage(rows: "Sequence[IndexRow]") -> str:
    """How often each character was played on each stage, as a heat map."""
    from matplotlib.figure import Figure

    counts = _counts(rows)
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


def _label(name: str) -> str:
    return name.replace("_", " ").title()


def _ink(count: int, top: int) -> str:
    return "white" if count > 0.6 * top else "black"


def game_lengths(rows: "Sequence[IndexRow]") -> str:
    """A small histogram of game lengths."""
    from melee_pipeline.replays.index import KEPT

    minutes = [row.frames / 3600 for row in rows if row.verdict == KEPT and row.frames]
    if not minutes:
        return "no games"
    bins = 20
    counts = Counter(min(int(m / max(minutes) * bins), bins - 1) for m in minutes)
    step, top = _WIDTH / bins, max(counts.values())
    bars = "".join(
        f"M{i * step:.0f} {_HEIGHT}v{-_HEIGHT * count / top:.0f}h{step - 1:.0f}V{_HEIGHT}"
        for i, count in sorted(counts.items())
    )
    return _svg(
        f"<path fill='{_COLOURS[0]}' d='{bars}'/>",
        [(f"{len(minutes):,} games, {min(minutes):.1f} to {max(minutes):.1f} minutes", "#666")],
    )


_WIDTH, _HEIGHT = 300, 80  # pixels of a small drawing, without its legend
_COLOURS = ("#48a", "#d63", "#888")
_POINTS = 36  # of all lines together: more would not fit into a thousand characters


def lines(named: Mapping[str, Sequence[float | None]]) -> str:
    """Up to three lines on one scale, small; what is None or not finite is left out."""
    from math import isfinite

    kept = {n: [v for v in vs if v is not None and isfinite(v)] for n, vs in named.items()}
    kept = {name: values for name, values in kept.items() if values}
    if not kept:
        return "nothing to draw"
    every = [value for values in kept.values() for value in values]
    low, span = min(every), (max(every) - min(every)) or 1.0
    drawn, legend, points_each = [], [], _POINTS // len(kept)
    for colour, (name, values) in zip(_COLOURS, kept.items(), strict=False):
        last = len(values) - 1
        chosen = sorted({round(last * i / (points_each - 1)) for i in range(points_each)})
        across = [_WIDTH * i / max(last, 1) for i in chosen]
        down = [_HEIGHT - 2 - (_HEIGHT - 4) * (values[i] - low) / span for i in chosen]
        points = " ".join(f"{x:.0f},{y:.0f}" for x, y in zip(across, down, strict=True))
        drawn.append(f"<polyline fill='none' stroke='{colour}' points='{points}'/>")
        legend.append((f"{name} {values[0]:.3g} → {values[-1]:.3g}", colour))
    return _svg("".join(drawn), legend)


def _svg(drawn: str, legend: Sequence[tuple[str, str]]) -> str:
    texts = "".join(
        f"<text y='{_HEIGHT + 14 * (i + 1)}' fill='{colour}'>{text}</text>"
        for i, (text, colour) in enumerate(legend)
    )
    height = _HEIGHT + 14 * len(legend) + 4
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height}' "
        f"font-family='sans-serif' font-size='12'>{drawn}{texts}</svg>"
    )
    return f"![](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
