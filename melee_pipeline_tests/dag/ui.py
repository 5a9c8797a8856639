"""The real Dagster UI for tests and pictures: `make dev` on a data root of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from playwright.sync_api import Page

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 300.0  # seconds until something on a busy machine is taken for hung
CLICK = 90.0  # the same for a page to draw what is clicked next

LOCATION = "melee_pipeline"
LOADED = """{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
  __typename ... on PythonError { message } } } } } }"""
LAUNCH = """mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUNS = """{ runsOrError { ... on Runs { results { runId jobName status
  tags { key value } } } } }"""
RUN = """query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status
  eventConnection { events { ... on ExecutionStepFailureEvent { error { message } } } } } } }"""


class UiError(Exception):
    """The UI did not do what a test asked of it."""


def environment(root: Path, **settings: str) -> dict[str, str]:
    """The environment of `make dev` on a data root and a Dagster storage under `root`."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return {
        **outer,  # a `make` that is started by another says more
        "MELEE_DATA": str(root / "data"),
        "MELEE_DAGSTER_STORAGE": str(root / "dagster"),
        "DAGSTER_HOME": str(REPOSITORY),
        "WANDB_MODE": "disabled",
        # Waits of a user's day are none of a test's.
        "MELEE_SENSOR_SECONDS": "2",
        "MELEE_RETRY_SECONDS": "1",
        **settings,
    }


def make(target: str, *variables: str) -> list[str]:
    """A target of the Makefile, with this interpreter's environment taken as it is."""
    ready = Path(sys.prefix) / ".ready"
    return ["make", f"--old-file={ready}", target, f"VENV={sys.prefix}", *variables]


@dataclass
class Ui:
    """A running `make dev`."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
        """Ask the webserver; the `data` of the answer."""
        answer = requests.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": dict(variables or {})},
            timeout=60,
        ).json()
        if answer.get("errors"):
            raise UiError(f"{query}: {answer['errors']}")
        return answer["data"]

    def launch(self, assets: Sequence[str], partition: str | None) -> str:
        """Queue a run that materializes assets, as the button in the UI does; its id."""
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        params = {
            "selector": {
                "repositoryLocationName": LOCATION,
                "repositoryName": "__repository__",
                "jobName": "__ASSET_JOB",
                "assetSelection": [{"path": [asset]} for asset in assets],
            },
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": tags},
        }
        answer = self.graphql(LAUNCH, {"params": params})["launchPipelineExecution"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise UiError(f"{assets} {partition}: {answer}")
        return str(answer["run"]["runId"])

    def wait(self, run: str) -> None:
        """Wait until a run has ended. Raises UiError with the steps' errors if it failed."""
        for _ in patiently(f"run {run}"):
            found = self.graphql(RUN, {"id": run})["runOrError"]
            if found["status"] == "SUCCESS":
                return
            if found["status"] in ("FAILURE", "CANCELED"):
                events = found["eventConnection"]["events"]
                raise UiError(f"run {run}: {[e['error'] for e in events if 'error' in e]}")

    def runs(self, job: str, partition: str | None = None) -> list[str]:
        """Statuses of a job's runs, the newest first; of one partition, or of all."""
        return [
            str(run["status"])
            for run in self.graphql(RUNS)["runsOrError"]["results"]
            if run["jobName"] == job
            and partition
            in (None, {t["key"]: t["value"] for t in run["tags"]}.get("dagster/partition"))
        ]

    def until(self, job: str, partition: str | None, *statuses: str) -> None:
        """Wait until a job's runs have these statuses, the newest first."""
        for _ in patiently(f"{job} {partition}: {', '.join(statuses)}"):
            if self.runs(job, partition) == list(statuses):
                return

    def loaded(self) -> bool:
        """Whether the code location is loaded. Raises UiError when it, or the server, failed."""
        if self.process.poll() is not None:
            raise UiError(f"`make dev` ended:\n{self.log.read_text()[-4000:]}")
        try:
            entries = self.graphql(LOADED)["workspaceOrError"]["locationEntries"]
        except requests.ConnectionError:
            return False
        found = [entry["locationOrLoadError"] for entry in entries]
        if broken := [each for each in found if each and "message" in each]:
            raise UiError(f"the code location did not load: {broken}")
        return bool(found) and all(found)

    def kill(self) -> None:
        """End every process at once, as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> bool:
        """Ctrl-C, as a terminal sends it; whether every process ended by itself."""
        group = self.process.pid
        try:
            os.killpg(group, signal.SIGINT)
            self.process.wait(60)
            for _ in patiently("the end of all processes", 30):
                os.killpg(group, 0)
        except ProcessLookupError:
            return True
        except (subprocess.TimeoutExpired, UiError):
            os.killpg(group, signal.SIGKILL)
        return False


def patiently(what: str, seconds: float = PATIENCE) -> Iterator[None]:
    """Turns of a wait, half a second apart. Raises UiError when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.5)
    raise UiError(f"waited {seconds:.0f} s for {what}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_ui(root: Path, **settings: str) -> Ui:
    """Start `make dev` under `root`, and wait until the code location is loaded."""
    port = free_port()
    root.mkdir(parents=True, exist_ok=True)
    log = root / "dev.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            make("dev", f"PORT={port}"),
            cwd=REPOSITORY,
            env=environment(root, **settings),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A shell's background jobs ignore Ctrl-C, and hand that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
    ui = Ui(f"http://127.0.0.1:{port}", log, process)
    try:
        for _ in patiently("the code location"):
            if ui.loaded():
                return ui
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    raise AssertionError("patiently ends with an error")


def chromium() -> str | None:
    """The Chromium on PATH, if there is one."""
    return next((found for name in CHROMIUM if (found := shutil.which(name))), None)


@contextmanager
def open_page(width: int = 1400, height: int = 900) -> Iterator[Page]:
    """A page of a Chromium with an empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=list(CHROMIUM_FLAGS), timeout=PATIENCE * 1000
        )
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(CLICK * 1000)
        try:
            yield page
        finally:
            browser.close()
