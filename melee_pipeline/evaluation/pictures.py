"""What a rollout looks like: errors over the horizon, and paths on the stage."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

from melee_pipeline.evaluation.rollout import Rollout
from melee_pipeline.store import atomic_file

_COLOURS = ("#d1603d", "#8a8a8a", "#b5b5b5")
_PATHS = 6
_RESPAWN = 15.0  # game units in a frame: farther than anybody moves


def draw_rollouts(rollouts: Mapping[str, Rollout], path: Path) -> None:
    """Position error and action accuracy over the horizon, a line for each model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, rollout), colour in zip(rollouts.items(), cycle(_COLOURS), strict=False):
        horizons = range(1, len(rollout.position_error) + 1)
        left.plot(horizons, rollout.position_error.tolist(), label=name, color=colour)
        right.plot(horizons, rollout.action_accuracy.tolist(), label=name, color=colour)
    left.set_title("mean position error, game units", fontsize=10)
    right.set_title("action accuracy", fontsize=10)
    for axes in (left, right):
        axes.set_xlabel("frames ahead, on the model's own outputs")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def draw_paths(rollouts: Mapping[str, Rollout], path: Path) -> None:
    """Where the players went and where the first model sent them, for the liveliest starts."""
    from matplotlib.figure import Figure

    rollout = next(iter(rollouts.values()))
    steps = (rollout.truth[:, 1:] - rollout.truth[:, :-1]).norm(dim=-1)  # (B, H−1, P)
    moved = steps.sum((1, 2)) * (steps.amax((1, 2)) < _RESPAWN)
    figure = Figure(figsize=(12, 6), layout="constrained")
    axes = figure.subplots(2, _PATHS // 2).flat
    for one, start in zip(axes, moved.argsort(descending=True)[:_PATHS].tolist(), strict=False):
        for player, colour in enumerate(("#4878a8", "#5a9e6f")):
            truth = rollout.truth[start, :, player].tolist()
            told = rollout.positions[start, :, player].tolist()
            one.plot(*zip(*truth, strict=True), color=colour, lw=3, alpha=0.45,
                     label=f"player {player + 1}, really")  # fmt: skip
            one.plot(*zip(*told, strict=True), color=colour, lw=1.2, marker=".", ms=4,
                     label=f"player {player + 1}, foretold")  # fmt: skip
            one.plot(*truth[0], color="black", marker="o", ms=4, ls="",
                     label="start" if player else None)  # fmt: skip
        one.set_aspect("equal", adjustable="datalim")
        one.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.suptitle("a third of a second from six lively moments, game units", fontsize=10)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90)
