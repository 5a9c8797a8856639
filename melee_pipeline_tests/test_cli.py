"""The command line: what commands print, and how they fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from melee_pipeline.cli import app, main
from melee_pipeline.lineage import read_lineage, sources_of
from melee_pipeline.replays.index import read_index
from melee_pipeline.sources.catalog import find_source
from melee_pipeline.store import Store
from melee_pipeline_tests.replays.games import small_game, write_games
from melee_pipeline_tests.runs import leave_run
from melee_pipeline_tests.sources.archives import archive_bytes

SCRIPT = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from melee_pipeline.cli import main; main()"
)
PATIENCE = 300  # seconds after which a process counts as hanging; a busy machine takes one to start


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in this process, as the installed script does."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.delenv("MELEE_DATA", raising=False)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["melee-pipeline", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, out, err)

    return run


def commands(group: Any, name: str = "") -> dict[str, Any]:  # noqa: ANN401 - click's own
    """All commands by their words."""
    found = {name: group} if name else {}
    for word, command in getattr(group, "commands", {}).items():
        found |= commands(command, f"{name} {word}".strip())
    return found


@pytest.mark.parametrize("words", commands(typer.main.get_command(app)))
def test_every_command_explains_itself(words: str, cli: Run) -> None:
    command = commands(typer.main.get_command(app))[words]
    assert command.help
    for parameter in command.params:
        told = getattr(parameter, "help", None)
        assert told, f"{words}: {parameter.name} has no help"
        assert "<" not in told, "what looks like a tag is not shown"
    ended = cli(*words.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    assert command.help.split(".")[0].split(":")[0] in " ".join(ended.out.split())


def test_without_a_command_there_is_help(cli: Run) -> None:
    for words in ((), ("sources",)):
        ended = cli(*words)
        assert ended.code == 2
        assert "Usage:" in ended.out


@pytest.mark.parametrize(
    ("recipe", "width", "parameters"), [("mlp_v1", 1120, 931422), ("mlp_v2", 1480, 1116138)]
)
def test_describe_gives_the_figures(recipe: str, width: int, parameters: int, cli: Run) -> None:
    ended = cli("describe", recipe, "--json")
    assert ended.code == 0
    facts = json.loads(ended.out)
    assert (facts["input"], facts["parameters"], facts["context"]) == (width, parameters, 10)
    assert sum(layer["parameters"] for layer in facts["layers"]) == parameters
    table = cli("describe", recipe).out
    assert f"{width:,}" in table
    assert f"{parameters:,}" in table


def test_sources_are_listed_with_how_far_they_are(
    built_store: Store, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELEE_DATA", str(built_store.root))
    cells = [line.split("│") for line in cli("sources", "list").out.splitlines()]
    rows = {line[1].strip(): [cell.strip() for cell in line[2:-1]] for line in cells if line[1:]}
    folder = built_store.root.parent
    assert rows["alpha"][:3] == ["local", "–", "4 games"]
    assert rows["beta"] == ["local", "–", "3 games", str(folder / "beta")]
    assert rows["gang"][:3] == ["http", "3,561", "–"]
    assert rows["gang"][3].endswith("/gang-replays.7z")
    drive = find_source(built_store, "ranked-6").location
    assert rows["ranked-6"][3] == f"https://drive.google.com/file/d/{drive}"


def test_a_source_is_added_once(tmp_path: Path, cli: Run) -> None:
    where = ["--data", tmp_path / "data"]
    (tmp_path / "mine").mkdir()
    ended = cli("sources", "add", "mine", tmp_path / "mine", *where)
    assert ended.code == 0
    assert f"Next: melee-pipeline run --data {tmp_path / 'data'} --source mine\n" in ended.out
    assert cli("sources", "add", "mine", tmp_path / "mine", *where).code == 0
    assert str(tmp_path / "mine") in cli("sources", "list", *where).out
    link = "https://www.dropbox.com/scl/fi/x/games.zip?rlkey=y"
    assert "(dropbox)" in cli("sources", "add", "linked", link, *where).out
    ended = cli("sources", "add", "mine", tmp_path, *where)
    assert ended.code == 1
    assert "source mine exists already" in ended.err


def test_a_folder_is_parsed(tmp_path: Path, cli: Run) -> None:
    write_games(tmp_path / "in", small_game(), small_game(500, seed=1))
    (tmp_path / "in" / "broken.slp").write_bytes(b"nonsense")
    ended = cli("parse", tmp_path / "in", "--out", tmp_path / "out", "--workers", 1)
    assert ended.code == 0
    assert f"1 games in {tmp_path / 'out'}" in ended.out
    for reason in ("kept", "too short", "unreadable"):
        assert reason in ended.out
    rows = read_index(tmp_path / "out" / "index.parquet")
    assert sorted(row.reason or row.verdict for row in rows) == ["kept", "too short", "unreadable"]
    assert "3 files" in ended.err, "progress goes to stderr"


def test_a_folder_without_a_game_to_keep_fails(tmp_path: Path, cli: Run) -> None:
    write_games(tmp_path / "in", small_game(500))
    ended = cli("parse", tmp_path / "in", "--out", tmp_path / "out")
    assert ended.code == 1
    assert "too short" in ended.out
    assert "no game of these files was kept" in ended.err


def test_parsing_goes_on_in_a_folder(tmp_path: Path, cli: Run) -> None:
    out = tmp_path / "out"
    for number in range(2):
        write_games(tmp_path / f"in-{number}", small_game(seed=number))
        ended = cli("parse", tmp_path / f"in-{number}", "--out", out, "--workers", 1)
        assert f"{number + 1} games in {out}" in ended.out
        assert "Nothing to do" not in ended.out
    again = cli("parse", tmp_path / "in-0", tmp_path / "in-1", "--out", out, "--workers", 1)
    assert again.code == 0
    assert "Nothing to do: all of these files were parsed before." in again.out


def test_an_export_ends_with_a_table(tmp_path: Path, cli: Run) -> None:
    write_games(tmp_path / "in", small_game(), small_game(500, seed=1))
    (tmp_path / "in" / "empty.slp").write_bytes(b"")
    out = tmp_path / "out"
    ended = cli("export", tmp_path / "in", "--out", out)
    assert ended.code == 0
    for words in ("exported", "too short", "empty file", f"1 games in {out / 'games'}"):
        assert words in ended.out
    assert [one["name"] for one in json.loads((out / "left_out.json").read_text())] == [
        "in/empty.slp",
        "in/game-1.slp",
    ]
    (tmp_path / "in" / "game-0.slp").unlink()
    ended = cli("export", tmp_path / "in", "--out", out)
    assert ended.code == 1
    assert "no game of these files was exported" in ended.err


@pytest.mark.parametrize("command", ["parse", "export"])
def test_a_place_that_cannot_be_leaves_nothing(command: str, tmp_path: Path, cli: Run) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    ended = cli(command, tmp_path / "in", "--out", tmp_path / "file")
    assert (ended.code, ended.out) == (1, "")
    assert f"--out {tmp_path / 'file'} is a file; name a folder" in ended.err
    below = tmp_path / "file" / "out"
    ended = cli(command, tmp_path / "in", "--out", below)
    assert (ended.code, ended.out, ended.err) == (1, "", f"error: {below}: Not a directory\n")
    ended = cli(command, tmp_path / "in", "--out", tmp_path / "out")
    assert f"{tmp_path / 'in'} holds no .slp file" in ended.err
    assert not (tmp_path / "out").exists()


def test_running_again_has_nothing_to_do(own_store: Store, cli: Run) -> None:
    again = ["run", "--source", "alpha", "--source", "beta", "--data", own_store.root]
    ended = cli(*again)
    assert ended.code == 0
    assert "Nothing to do" in ended.out
    assert ended.out.count("up to date") == 2 * 4 + 1 + 1


FAILURES = {
    "describe mlp_v9": "experiment 'mlp_v9' is unknown; did you mean mlp_v",
    "train mlp_v9": "experiment 'mlp_v9' is unknown",
    "run --set lr=1": "--set changes a knob of an experiment: name it with --experiment",
    "run --experiment mlp_v1 --set learning=1": "knob 'learning' is unknown",
    "train mlp_v1 --set lr": "--set lr: write it as name=value",
    "train mlp_v1 --set learning=1": "knob 'learning' is unknown",
    "train mlp_v1 --set epochs=0": "epochs is 0; at least 1 is possible",
    "train mlp_v1": "run first: melee-pipeline run --source NAME (melee-pipeline sources list",
    "run": "run first: melee-pipeline run --source NAME (melee-pipeline sources list",
    "run --source gnag": "no source is called 'gnag'; did you mean gang",
    "run --experiment nothing": "experiment 'nothing' is unknown",
    "run --source nikki": "nikki",
    "evaluate nowhere": "does not exist",
    "evaluate text.zip": "text.zip is not a checkpoint of this pipeline",
    "lineage nowhere": "nowhere does not exist",
    "lineage text.zip": "text.zip has no lineage.json beside it",
    "lineage a b --verify": "--verify takes one checkpoint",
    "lineage . --verify": ". has no lineage.json beside it",
    "parse nowhere --out out": "nowhere does not exist",
    "sources add Mine .": "source 'Mine': a name is 1 to 64 lower-case letters",
    "sources add mine ./nowhere": "./nowhere is neither a URL nor a file or folder",
}


@pytest.mark.parametrize("words", FAILURES)
def test_a_foreseen_failure_is_one_message(
    words: str, tmp_path: Path, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.zip").write_bytes(archive_bytes("zip", {"text.txt": b"no replay"}))
    ended = cli(*words.split())
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: ")
    assert FAILURES[words] in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--device", "device 'nonsense' is unknown; expected auto, cpu, cuda or mps"),
        ("--wandb", "wandb is 'nonsense'; expected one of auto, "),
    ],
)
@pytest.mark.parametrize("command", ["train mlp_v1", "run --experiment mlp_v1"])
def test_a_word_that_an_option_does_not_know_is_refused(
    command: str, option: str, says: str, built_store: Store, cli: Run
) -> None:
    ended = cli(*command.split(), option, "nonsense", "--data", built_store.root)
    assert ended.code == 1
    assert says in ended.err
    assert ended.err.count("\n") == 1, "nothing was begun"


def test_a_hint_names_the_data_root_of_the_call(tmp_path: Path, cli: Run) -> None:
    """As it was given, quoted where a shell wants it; not where it is the default's."""
    root = tmp_path / "my data"
    ended = cli("train", "mlp_v1", "--data", root)
    assert f"melee-pipeline run --data '{root}' --source NAME" in ended.err
    ended = cli("train", "mlp_v1", f"--data={root}")
    assert f"melee-pipeline run --data '{root}' --source NAME" in ended.err


def test_a_data_root_that_is_a_file_is_refused(tmp_path: Path, cli: Run) -> None:
    (tmp_path / "file").touch()
    for words in (["run"], ["sources", "list"], ["train", "mlp_v1"], ["checkpoints"]):
        ended = cli(*words, "--data", tmp_path / "file")
        assert ended.code == 2
        assert "is a file" in ended.err


def test_training_without_a_name_lists_the_experiments(tmp_path: Path, cli: Run) -> None:
    store = Store(tmp_path / "data")
    store.root.mkdir()
    store.user_experiments.write_text("wide: {recipe: mlp_v2, hidden: [1024, 512], lr: 3e-4}\n")
    ended = cli("train", "--data", store.root)
    assert ended.code == 0
    cells = [[c.strip() for c in line.split("│")] for line in ended.out.splitlines()]
    rows = {line[1]: line[2:-1] for line in cells if len(line) > 3}
    assert rows["mlp_v1"][1] == "v1"
    assert rows["wide"][:2] == rows["mlp_v2"][:2]
    assert rows["wide"][-1] == "0.0003"
    assert str(store.user_experiments) in ended.out


def test_a_run_may_change_knobs(own_store: Store, cli: Run) -> None:
    """As training does, under the same name."""
    words = ["--set", "epochs=1", "--set", "hidden=8", "--set", "context=2"]
    where = ["--data", own_store.root, "--wandb", "off", "--device", "cpu"]
    ended = cli("run", "--experiment", "mlp_v1", *words, *where)
    assert ended.code == 0, ended.err
    [experiment] = own_store.names("checkpoint")
    assert experiment.startswith("mlp_v1-")
    assert own_store.names("evaluation") == [experiment]
    ended = cli("train", "mlp_v1", *words, *where)
    assert "Nothing to do: this very run was trained before." in ended.out
    [run] = json.loads(cli("checkpoints", "--json", "--data", own_store.root).out)
    assert (run["experiment"], run["epochs"], run["evaluated"]) == (experiment, 1, True)


def test_what_a_step_does_not_do_again_it_does_not_count(own_store: Store, cli: Run) -> None:
    (own_store.root / "stamps" / "training_set" / "training_set.json").unlink()
    ended = cli("run", "--source", "alpha", "--source", "beta", "--data", own_store.root)
    assert "parsed now" not in ended.out
    # Beta's last game is alpha's first, saved again.
    assert "duplicates left out 1 (of " in ended.out


@pytest.mark.parametrize("width", ["80", "400"])
def test_lineage_can_be_copied_at_any_width(
    width: str, own_store: Store, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = leave_run(own_store)
    monkeypatch.setenv("COLUMNS", width)
    ended = cli("lineage", run)
    for source in sources_of(read_lineage(run)):
        assert source.sha256 in ended.out
        assert source.location in ended.out
    assert json.loads(cli("lineage", run, "--json").out) == read_lineage(run)
    listed = cli("sources", "list", "--data", own_store.root).out
    assert "https://storage.googleapis.com/slippi.appspot.com/dump/gang-replays.7z" in listed
    listed = cli("checkpoints", "--data", own_store.root).out
    assert str(run) in listed
    assert read_lineage(run)["data_fingerprint"] in listed


def test_two_checkpoints_are_compared(own_store: Store, cli: Run) -> None:
    one = leave_run(own_store, "one")
    other = leave_run(own_store, "two", max_games=2, lr=0.5)
    ended = cli("lineage", one, other)
    assert ended.code == 0
    assert "Same data: no, 2 games are in both" in ended.out
    found = json.loads(cli("lineage", one, other, "--json").out)
    assert (found["same_data"], found["common_games"]) == (False, 2)
    assert found["settings"] == {"lr": [0.001, 0.5], "max_games": [None, 2]}
    only = [md5 for md5s in found["only"][0].values() for md5 in md5s]
    assert len(only) == 4
    for text in (*only, "lr", "0.5"):
        assert text in ended.out
    ended = cli("lineage", one, one)
    assert "Same data: yes, 6 games, the same split" in ended.out
    assert "Settings: the same" in ended.out


def test_verifying_ends_with_the_code(own_store: Store, cli: Run) -> None:
    run = leave_run(own_store)
    ended = cli("lineage", run, "--verify")
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "12 matches")
    told = json.loads(cli("lineage", run / "best.pt", "--verify", "--json").out)
    assert (told["matches"], told["data_root"]) == (True, str(own_store.root))
    (run / "best.pt").write_text("other weights")
    own_store.index("beta").unlink()
    ended = cli("lineage", run, "--verify")
    assert ended.code == 1
    assert f"beta, games: gone: {own_store.index('beta')} is gone" in ended.out
    assert f"best.pt: differs: {run / 'best.pt'} is not what was written" in ended.out
    assert "2 of 12 checks" in ended.err
    ended = cli("lineage", run, "--verify", "--json")
    assert (ended.code, json.loads(ended.out)["matches"]) == (1, False)
    ended = cli("lineage", run, "--verify", "--data", own_store.root.parent / "elsewhere")
    assert (ended.code, ended.out) == (1, "")
    assert "elsewhere is no data root" in ended.err


def test_a_wrong_command_is_answered_with_the_usage(cli: Run) -> None:
    for words in (["frobnicate"], ["parse", "x"], ["run", "--workers", "0"], ["describe"]):
        ended = cli(*words)
        assert ended.code == 2
        assert "Usage:" in ended.err


def started(*arguments: object, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    return subprocess.Popen(words, stdout=stdout, stderr=subprocess.PIPE, text=True)


def test_the_process_itself_ends_with_the_code(tmp_path: Path) -> None:
    process = started("describe", "mlp_v9")
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (1, "")
    assert err.splitlines() == [err.strip()], "one line, and no traceback"


def test_stopping_says_how_to_go_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless.slp")
    process = started("parse", tmp_path / "endless.slp", "--out", tmp_path / "out")
    with (tmp_path / "endless.slp").open("wb"):  # goes on once the parser reads
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.endswith("stopped; run the same command again to go on\n")
    assert "Traceback" not in err


@pytest.mark.parametrize("words", ["describe mlp_v1 --json", "train", "sources list"])
def test_a_reader_that_has_gone_is_no_error_to_tell(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELEE_DATA", str(tmp_path))
    reading, writing = os.pipe()
    os.close(reading)
    process = started(*words.split(), stdout=writing)
    os.close(writing)
    assert process.communicate(timeout=PATIENCE)[1] == ""
