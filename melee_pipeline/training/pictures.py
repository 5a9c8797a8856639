"""Curves of a run, as a picture beside its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from melee_pipeline.store import atomic_file
from melee_pipeline.training.run import Epoch

_PANELS = {  # what is drawn, and its axis
    "loss": "loss",
    "action_accuracy": "action accuracy",
    "action_change_accuracy": "action-change accuracy",
    "position_mae": "position error, game units",
    "damage_mae": "damage error, %",
}


def draw_curves(epochs: Sequence[Epoch], path: Path) -> None:
    """One panel for the loss and for each measure, training and validation over the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    numbers = [epoch["epoch"] for epoch in epochs]
    panels = figure.subplots(2, 3).flat
    for axes, (name, label) in zip(panels, _PANELS.items(), strict=False):
        for key, legend, colour in (
            (name, "training", "#4878a8"),
            (f"validation_{name}", "validation", "#d1603d"),
        ):
            values = [epoch.get(key) for epoch in epochs]
            if any(value is not None for value in values):
                points = [float("nan") if v is None else v for v in values]
                axes.plot(numbers, points, label=legend, color=colour, marker=".")
        axes.set_title(label, fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if name.endswith("accuracy"):
            axes.set_ylim(0, 1)
    panels[-1].axis("off")  # a place for the legend
    panels[-1].legend(*figure.axes[0].get_legend_handles_labels(), loc="center", fontsize=10)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
