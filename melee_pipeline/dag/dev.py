"""The Dagster UI, as `make dev` starts it: python -m melee_pipeline.dag.dev [PORT]

Before Dagster itself starts, the sample source is made, sources and experiments become partitions,
runs that a killed instance left as started are marked as failed, and old logs are deleted.
"""

import os
import runpy
import signal
import socket
import sys
from pathlib import Path

import dagster as dg

from melee_pipeline.dag.automation.inbox import inbox
from melee_pipeline.dag.demo import prepare
from melee_pipeline.dag.instance import drop_old_logs, instance_lock, reap
from melee_pipeline.dag.partitions import register_partitions
from melee_pipeline.dag.resources import default_data_root
from melee_pipeline.errors import BusyError, MeleePipelineError
from melee_pipeline.store import Store

HOST = "127.0.0.1"


def main(port: int) -> None:
    """Run `dagster dev` in this process, which holds the instance until it ends."""
    with instance_lock():
        _check_free(port)
        store = Store(default_data_root())
        prepare(store)
        inbox(store).mkdir(parents=True, exist_ok=True)
        drop_old_logs()
        with dg.DagsterInstance.get() as instance:
            register_partitions(instance, store)
            for run in reap(instance):
                print(f"Run {run} was cut off: it is marked as failed.")
        print(f"The UI: http://localhost:{port}    Drop archives into {inbox(store)}", flush=True)
        workspace = str(Path("workspace.yaml").resolve())
        os.chdir(os.environ["DAGSTER_HOME"])  # elsewhere Dagster warns of every other dagster.yaml
        # What starts in the background ignores Ctrl-C, and so would everything that it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["dagster", "dev", "--workspace", workspace, "--port", str(port)]
        runpy.run_module("dagster", run_name="__main__")


def _check_free(port: int) -> None:
    """Raises BusyError when somebody listens on the port: Dagster says it in a hundred lines."""
    with socket.socket() as probe:
        # As the webserver does: a port that was in use a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise BusyError(
                f"port {port} is taken ({error.strerror}); choose another: make dev PORT={port + 1}"
            ) from error


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
    except MeleePipelineError as error:
        sys.exit(f"error: {error}")
