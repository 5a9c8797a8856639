"""Marks the runs of a killed `make dev` as failed: python -m melee_pipeline.dag.reap, or make reap.

`make dev` does so itself when it starts.
"""

import sys

import dagster as dg

from melee_pipeline.dag.instance import instance_lock, reap
from melee_pipeline.errors import MeleePipelineError


def main() -> None:
    """Reap the instance of DAGSTER_HOME. Raises BusyError while somebody works with it."""
    with instance_lock(), dg.DagsterInstance.get() as instance:
        reaped = reap(instance)
    print(f"{len(reaped)} dead runs marked as failed", *reaped, sep="\n  ")


if __name__ == "__main__":
    try:
        main()
    except MeleePipelineError as error:
        sys.exit(f"error: {error}")
