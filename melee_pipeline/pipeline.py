"""The chain without Dagster: the same steps, one after another, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from melee_pipeline.progress import Progress
from melee_pipeline.store import Stamp, Store

if TYPE_CHECKING:
    from melee_pipeline.sources.catalog import Source
    from melee_pipeline.training.config import TrainConfig


@dataclass(slots=True)
class ChainResult:
    """What every step left, in order."""

    stamps: list[Stamp] = field(default_factory=list)

    @property
    def anything_new(self) -> bool:
        """Whether any step had something to do."""
        return any(stamp.fresh for stamp in self.stamps)


def source_steps(
    store: Store, source: Source, progress: Progress, workers: int | None = None
) -> list[Callable[[], Stamp]]:
    """The four steps of a source, in order."""
    from melee_pipeline.replays.source import parse_source
    from melee_pipeline.sources.download import fetch_archive
    from melee_pipeline.sources.extract import extract_replays
    from melee_pipeline.tensors.shards import build_shards

    return [
        lambda: fetch_archive(store, source, progress),
        lambda: extract_replays(store, source.name, progress),
        lambda: parse_source(store, source.name, progress, workers=workers),
        lambda: build_shards(store, source.name, progress),
    ]


def experiment_config(store: Store, name: str, knobs: Mapping[str, str]) -> TrainConfig:
    """The settings of an experiment, with some knobs changed.

    A variant has a name of its own, so that it does not take the experiment's place in the
    lists. Raises ConfigError naming what is unknown.
    """
    from melee_pipeline.training.config import override
    from melee_pipeline.training.experiments import find_experiment

    config = override(find_experiment(store, name), knobs)
    if knobs and config.experiment == name:
        return override(config, {"experiment": f"{name}-{config.hash[:6]}"})
    return config


def run_chain(
    store: Store,
    sources: Sequence[str],
    config: TrainConfig | None,
    progress: Progress,
    *,
    workers: int | None = None,
    device: str = "auto",
    wandb: str = "auto",
) -> ChainResult:
    """Bring these sources, the training set and an experiment up to date.

    Unknown sources, filters, devices and modes are refused before anything is done. Without an
    experiment the chain ends with the training set.
    """
    from melee_pipeline.evaluation.report import evaluate
    from melee_pipeline.replays.source import source_filters
    from melee_pipeline.sources.catalog import find_source
    from melee_pipeline.tensors.join import build_training_set
    from melee_pipeline.training.device import pick_device
    from melee_pipeline.training.log import resolve_mode
    from melee_pipeline.training.loop import train

    found = [find_source(store, name) for name in sources]
    for name in sources:
        source_filters(store, name)
    pick_device(device)
    resolve_mode(wandb)
    result = ChainResult()
    for source in found:
        for step in source_steps(store, source, progress, workers):
            result.stamps.append(step())
    result.stamps.append(build_training_set(store, progress))
    if config is not None:
        trained = train(store, config, device=device, wandb=wandb, progress=progress)
        run = store.root / trained.facts["run"]
        result.stamps += [trained, evaluate(store, run, device=device, progress=progress)]
    return result
