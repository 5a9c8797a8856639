"""The pictures of the UI in docs/, from the real thing: the demo under a folder, then `make dev`.

    python -m melee_pipeline_tests.dag.screenshots [FOLDER]

The folder, by default /tmp/melee, shows in the pictures, so it should name nobody.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from melee_pipeline_tests.dag import pages
from melee_pipeline_tests.dag.ui import REPOSITORY, Ui, environment, make, open_page, start_ui

if TYPE_CHECKING:
    from playwright.sync_api import Page

DOCS = REPOSITORY / "docs"
SETTLED = 3000  # milliseconds that animations are given


def main(root: Path) -> None:
    """Run the demo, which does again what it did there before only if that is out of date."""
    subprocess.run(make("demo"), cwd=REPOSITORY, env=environment(root), check=True)
    ui = start_ui(root)
    try:
        with open_page() as page:
            page.goto(ui.url)
            page.get_by_text("Hide navigation").click()
            graph(page, ui)
            games(page, ui)
            checkpoint(page, ui)
    finally:
        ui.stop()


def graph(page: Page, ui: Ui) -> None:
    """docs/ui-assets.png: the lineage of all assets."""
    page.set_viewport_size({"width": 2160, "height": 440})
    pages.open_graph(page, ui)
    page.wait_for_timeout(SETTLED)
    pages.fill_with_graph(page)
    _shoot(page, "ui-assets")


def games(page: Page, ui: Ui) -> None:
    """docs/ui-games.png: what parsed_games says of a source."""
    page.set_viewport_size({"width": 1440, "height": 1080})
    pages.open_partition(page, ui, "parsed_games", "sample")
    pages.picture(page, "lengths")
    _shoot(page, "ui-games")


def checkpoint(page: Page, ui: Ui) -> None:
    """docs/ui-checkpoint.png: a model's curves and what it was made from."""
    page.set_viewport_size({"width": 1440, "height": 1240})
    pages.open_asset(page, ui, "checkpoint")
    pages.picture(page, "loss_curve")
    _shoot(page, "ui-checkpoint")


def _shoot(page: Page, name: str) -> None:
    page.wait_for_timeout(SETTLED)
    page.screenshot(path=DOCS / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/tmp/melee"))
