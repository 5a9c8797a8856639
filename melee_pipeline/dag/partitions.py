"""Partitions: one for each source, one for each experiment."""

import dagster as dg

from melee_pipeline.sources.catalog import load_catalog
from melee_pipeline.store import Store
from melee_pipeline.training.experiments import load_experiments

SOURCES = dg.DynamicPartitionsDefinition(name="source")
EXPERIMENTS = dg.DynamicPartitionsDefinition(name="experiment")
SAMPLE = "sample"  # the source that `make dev` makes: it waits for a click, as in the README


def missing_partitions(
    instance: dg.DagsterInstance, store: Store
) -> list[tuple[dg.DynamicPartitionsDefinition, list[str]]]:
    """Sources and experiments that the instance does not know as partitions yet."""
    wanted = [
        (SOURCES, sorted(load_catalog(store))),
        (EXPERIMENTS, sorted(load_experiments(store))),
    ]
    found = []
    for partitions, names in wanted:
        known = set(instance.get_dynamic_partitions(str(partitions.name)))
        if new := [name for name in names if name not in known]:
            found.append((partitions, new))
    return found


def register_partitions(instance: dg.DagsterInstance, store: Store) -> None:
    """Make every source and every experiment a partition."""
    for partitions, names in missing_partitions(instance, store):
        instance.add_dynamic_partitions(str(partitions.name), names)
