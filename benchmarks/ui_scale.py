"""How long the UI's pages wait for their data, with many sources and games.

    python -m benchmarks.ui_scale                 120 sources, 22,000 games
    python -m benchmarks.ui_scale --sources 500

A real webserver on SQLite answers the GraphQL that the pages ask: the median of five answers.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from benchmarks.many_games import make_games
from benchmarks.many_sources import EXPERIMENT, make_instance, make_sources
from melee_pipeline.store import Store

TIMES = 5
_KEY = "assetKey { path }"
_EVENT = """runId timestamp partition tags { key value } metadataEntries { label
  ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text }
  ... on MarkdownMetadataEntry { mdStr }
  ... on TableMetadataEntry { table { records schema { columns { name } } } } }"""
QUERIES: Mapping[str, str] = {
    "the asset graph": f"""{{ assetNodes {{ {_KEY} groupName description kinds opVersion
        owners {{ ... on TeamAssetOwner {{ team }} }} dependencyKeys {{ path }}
        dependedByKeys {{ path }} isPartitioned staleStatus
        partitionStats {{ numMaterialized numFailed numPartitions numMaterializing }}
        assetMaterializations(limit: 1) {{ runId timestamp }}
        assetChecksOrError {{ ... on AssetChecks {{ checks {{ name }} }} }} }} }}""",
    "parsed_games: its partitions": f"""{{ assetNodeOrError(assetKey: {{path: ["parsed_games"]}}) {{
        ... on AssetNode {{ {_KEY} partitionKeys assetPartitionStatuses {{
          ... on DefaultPartitionStatuses {{ materializedPartitions failedPartitions
            unmaterializedPartitions materializingPartitions }} }} }} }} }}""",
    "parsed_games: its latest events": f"""{{
        assetOrError(assetKey: {{path: ["parsed_games"]}}) {{ ... on Asset {{
          assetMaterializations(limit: 100) {{ {_EVENT} }} }} }} }}""",
    "parsed_games: stale partitions": """{ assetNodeOrError(assetKey: {path: ["parsed_games"]}) {
        ... on AssetNode { partitionKeys staleStatus(partition: "cup-001")
          latestMaterializationByPartition(partitions: ["cup-001"]) { runId } } } }""",
    "training_set: its page": f"""{{ assetNodeOrError(assetKey: {{path: ["training_set"]}}) {{
        ... on AssetNode {{ staleStatus staleCauses {{ reason key {{ path }} }}
          assetMaterializations(limit: 1) {{ {_EVENT} }} }} }} }}""",
    "checkpoint: its page": f"""{{ assetNodeOrError(assetKey: {{path: ["checkpoint"]}}) {{
        ... on AssetNode {{ staleStatus(partition: "{EXPERIMENT}")
          assetMaterializations(limit: 1) {{ {_EVENT} }} }} }} }}""",
}


def ask(url: str, query: str) -> Any:  # noqa: ANN401 - JSON
    """The data of an answer. Raises RuntimeError with what the server says is wrong."""
    answer = requests.post(f"{url}/graphql", json={"query": query}, timeout=120).json()
    if answer.get("errors"):
        raise RuntimeError(f"{query}: {answer['errors']}")
    return answer["data"]


@contextmanager
def webserver(root: Path, store: Store) -> Iterator[str]:
    """A webserver on the instance under `root`; gives its URL when it has loaded the assets."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dagster_webserver", "-p", str(port)]
    process = subprocess.Popen(
        [*command, "-m", "melee_pipeline.dag.definitions"],
        env={**os.environ, "DAGSTER_HOME": str(root / "dagster"), "MELEE_DATA": str(store.root)},
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"the webserver ended with {process.returncode}")
            try:
                ask(url, "{ version }")
                break
            except requests.ConnectionError:
                time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    arguments.add_argument("--sources", type=int, default=120)
    arguments.add_argument("--games", type=int, default=22_000)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = make_sources(root, make_games(root, []), given.sources, given.games)
        with make_instance(root, store), webserver(root, store) as url:
            print(f"{given.sources} sources, {given.games:,} games; seconds, median of {TIMES}")
            for name, query in QUERIES.items():
                seconds = []
                for _ in range(TIMES):
                    started = time.perf_counter()
                    ask(url, query)
                    seconds.append(time.perf_counter() - started)
                print(f"{name:34} {statistics.median(seconds):6.2f}")


if __name__ == "__main__":
    main()
