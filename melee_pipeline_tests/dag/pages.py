"""What tests and pictures do in the UI with the mouse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from melee_pipeline_tests.dag.ui import Ui, patiently

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

GROUPS = ("replays", "games", "tensors", "models")
NEWEST_RUN = "{ runsOrError(limit: 1) { ... on Runs { results { runId } } } }"


def open_graph(page: Page, ui: Ui) -> None:
    """The lineage of all assets, with every group unfolded."""
    expanded = "%2C".join(f"global%40global%3A{group}" for group in GROUPS)
    page.goto(f"{ui.url}/asset-groups?expanded={expanded}")
    page.get_by_text("evaluation", exact=True).first.wait_for()


def fill_with_graph(page: Page) -> None:
    """Close the list of assets beside the graph, and zoom so that the graph fills the rest."""
    search = page.get_by_placeholder("Jump to").bounding_box()
    assert search is not None and page.viewport_size is not None
    # The button to the right of the search field has neither a name nor a role of its own.
    page.mouse.click(search["x"] + search["width"] + 27, search["y"] + 15)
    page.get_by_placeholder("Jump to").wait_for(state="hidden")
    # A double click on the empty canvas fits the graph into it.
    page.mouse.dblclick(page.viewport_size["width"] / 2, page.viewport_size["height"] - 20)


def open_asset(page: Page, ui: Ui, asset: str) -> None:
    """An asset's overview."""
    page.goto(f"{ui.url}/assets/{asset}")
    page.get_by_text("Latest materialization").first.wait_for()


def open_partition(page: Page, ui: Ui, asset: str, partition: str) -> None:
    """What an asset says of one partition."""
    page.goto(f"{ui.url}/assets/{asset}?view=partitions&partition={partition}")
    page.get_by_text("Latest materialization").first.wait_for()


def open_job(page: Page, ui: Ui, job: str) -> None:
    """A job's page."""
    page.goto(f"{ui.url}/locations/melee_pipeline/jobs/{job}")


def materialize(page: Page, ui: Ui, partition: str | None) -> None:
    """Press the page's Materialize button, choose the partition, and see the run succeed."""
    before = _newest_run(ui)
    page.get_by_role("button", name=re.compile("Materialize")).first.click()
    if partition is not None:
        page.get_by_text("Select a partition or create one").click()
        page.get_by_placeholder("Filter partitions").fill(partition)
        page.get_by_text(partition, exact=True).filter(visible=True).last.click()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Launch 1 run").click()
    for _ in patiently("the run to appear"):
        if (run := _newest_run(ui)) not in ("", before):
            break
    # A run's page is redrawn all the time, which on two cores takes the run's own time.
    page.goto("about:blank")
    ui.wait(run)
    page.goto(f"{ui.url}/runs/{run}")
    page.get_by_text("Success", exact=True).first.wait_for()


def metadata(page: Page, key: str) -> Locator:
    """The row of an asset's metadata table that has this key."""
    return page.locator("tr").filter(has=page.get_by_text(key, exact=True)).first


def picture(page: Page, key: str) -> tuple[int, int]:
    """The small picture under a key, on the page itself: its width and height."""
    return _decoded(metadata(page, key).locator("img"))


def open_picture(page: Page, key: str) -> tuple[int, int]:
    """Open the large picture under a key; its width and height."""
    metadata(page, key).get_by_text("[Show Markdown]").click()
    return _decoded(page.get_by_role("dialog").locator("img"))


def _decoded(image: Locator) -> tuple[int, int]:
    """An image's width and height once the browser has decoded it."""
    image.wait_for()
    width, height = image.evaluate("i => i.decode().then(() => [i.naturalWidth, i.naturalHeight])")
    return int(width), int(height)


def _newest_run(ui: Ui) -> str:
    found = ui.graphql(NEWEST_RUN)["runsOrError"]["results"]
    return str(found[0]["runId"]) if found else ""
