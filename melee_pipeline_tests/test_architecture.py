"""The architecture's rules, read off the source: what may import what, and how long files are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import melee_pipeline

ROOT = Path(melee_pipeline.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# Imports run one way: a package may import itself and those before it.
ORDER = ("schema", "sources", "replays", "tensors", "models", "training", "evaluation", "dag")
BELOW_ALL = frozenset(
    {
        *("errors", "portable", "versions", "store", "locks", "progress", "parallel"),
        *("lineage", "checkpoints", "compare"),
    }
)
ABOVE_ALL = frozenset(
    {
        *("cli", "cli_replays", "cli_lineage", "hints"),
        *("tables", "tables_lineage", "pipeline", "verify"),
    }
)


def imports(source: str) -> Iterator[str]:
    """Modules that a source file imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import would not show where it goes.
            assert node.level == 0 and node.module, ast.unparse(node)
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    """The part of the package that a module belongs to: its second name."""
    return module.split(".")[1] if "." in module else ""


def wrong_imports(part: str, source: str) -> list[str]:
    """Imports of our own that run against the direction."""
    wrong = []
    for module in imports(source):
        if not module.startswith("melee_pipeline."):
            continue
        other = part_of(module)
        if other in BELOW_ALL or other == part or part in ABOVE_ALL:
            continue
        if (
            part in BELOW_ALL
            or (other in ABOVE_ALL and part != "dag")
            or (other in ORDER and ORDER.index(other) > ORDER.index(part))
        ):
            wrong.append(module)
    return wrong


def part_of_file(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    part = part_of_file(path)
    assert part in {*ORDER, *BELOW_ALL, *ABOVE_ALL, "__init__"}, f"say where {part} stands"
    assert wrong_imports(part, path.read_text()) == []


def test_the_rule_catches_a_wrong_import() -> None:
    assert wrong_imports("schema", "from melee_pipeline.replays.read import read_replay")
    assert wrong_imports("training", "def f():\n    import melee_pipeline.evaluation.report")
    assert wrong_imports("store", "from melee_pipeline.schema import table")
    assert not wrong_imports("dag", "from melee_pipeline.schema import table")


@pytest.mark.parametrize(
    ("library", "only_in"),
    [
        ("dagster", {"dag"}),
        ("peppi_py", {"replays/oracle.py"}),
        ("typer", {"cli.py", "cli_replays.py", "cli_lineage.py"}),
    ],
)
def test_a_library_stays_in_its_place(library: str, only_in: set[str]) -> None:
    for path in FILES:
        relative = path.relative_to(ROOT).as_posix()
        if any(relative == place or relative.startswith(f"{place}/") for place in only_in):
            continue
        assert not [m for m in imports(path.read_text()) if m.split(".")[0] == library], relative


def test_dag_has_no_postponed_annotations() -> None:
    """Dagster reads the annotations of `context` and of configs at run time."""
    for path in (ROOT / "dag").rglob("*.py"):
        assert "from __future__ import annotations" not in path.read_text(), path


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 280
