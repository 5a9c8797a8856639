"""Training: what a run leaves, that it can be cut off anywhere, and the reference on real data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from melee_pipeline.errors import BusyError, ConfigError, SchemaMismatchError, TrainingError
from melee_pipeline.lineage import read_lineage, sources_of
from melee_pipeline.locks import run_lock
from melee_pipeline.models.config import Mamba2Config, MLPConfig
from melee_pipeline.progress import Advance, Progress
from melee_pipeline.store import CHECKPOINT, Stamp, Store, file_sha256, read_json
from melee_pipeline.tensors.records import RecordLayout
from melee_pipeline.tensors.training_set import load_training_set
from melee_pipeline.tensors.windows import OpenGames
from melee_pipeline.training import loop, trainer
from melee_pipeline.training.checkpoint import load_checkpoint
from melee_pipeline.training.config import MOST_SEED, TrainConfig, loss_weights
from melee_pipeline.training.device import fits, pick_device, settle
from melee_pipeline.training.interrupt import held_back
from melee_pipeline.training.loop import over, train
from melee_pipeline.training.schedule import learning_rate

TINY = TrainConfig(
    experiment="tiny", model=MLPConfig(encoding="v1", context=3, hidden=(16,)), epochs=2
)


def run(store: Store, config: TrainConfig, progress: Progress) -> Stamp:
    return train(store, config, device="cpu", wandb="off", progress=progress)


def folder_of(store: Store, stamp: Stamp) -> Path:
    return store.root / str(stamp.facts["run"])


@pytest.fixture(scope="module")
def trained(built_store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Stamp]:
    from melee_pipeline.progress import Quiet

    root = tmp_path_factory.mktemp("trained") / "data"
    shutil.copytree(built_store.root, root)
    store = Store(root)
    return store, run(store, TINY, Quiet())


def test_a_run_leaves_checkpoints_record_and_picture(trained: tuple[Store, Stamp]) -> None:
    store, stamp = trained
    folder = folder_of(store, stamp)
    left = {path.name for path in folder.iterdir()}
    assert left == {"best.pt", "final.pt", "manifest.json", "lineage.json", "curves.png"}
    manifest = read_json(folder / "manifest.json")
    games = load_games(store)
    assert manifest["game_md5s"] == sorted(games)
    assert manifest["data_fingerprint"] == read_lineage(folder)["data_fingerprint"]
    assert [row["epoch"] for row in manifest["all_epochs"]] == [1, 2]
    # Half a cosine over two epochs: all of it, then half of it.
    assert [row["lr"] for row in manifest["all_epochs"]] == pytest.approx([1e-3, 5e-4])
    assert stamp.report["best_validation_loss"] == min(
        row["validation_loss"] for row in manifest["all_epochs"]
    )


def load_games(store: Store) -> list[str]:
    return list(load_training_set(store).games["md5"])


def test_lineage_walks_back_to_every_game(trained: tuple[Store, Stamp]) -> None:
    store, stamp = trained
    sources = sources_of(read_lineage(folder_of(store, stamp)))
    assert [one.source for one in sources] == ["alpha", "beta"]
    assert sorted(md5 for one in sources for md5 in one.md5s) == sorted(load_games(store))


def test_a_checkpoint_loads_as_what_was_trained(trained: tuple[Store, Stamp]) -> None:
    store, stamp = trained
    found = load_checkpoint(folder_of(store, stamp) / "final.pt")
    assert found.config == TINY
    assert not found.model.training
    assert found.header["epoch"] == 2
    lineage = read_lineage(folder_of(store, stamp))
    assert found.header["archives"] == {s.source: s.sha256 for s in sources_of(lineage)}


def test_the_same_run_is_not_trained_again(trained: tuple[Store, Stamp], quiet: Progress) -> None:
    store, stamp = trained
    before = file_sha256(folder_of(store, stamp) / "final.pt")
    again = run(store, TINY, quiet)
    assert (again.fresh, again.version) == (False, stamp.version)
    other = run(store, replace(TINY, seed=1, epochs=1), quiet)
    assert other.version != stamp.version
    back = run(store, TINY, quiet)  # its stamp was replaced, its folder is still there
    assert (back.fresh, back.version) == (False, stamp.version)
    assert file_sha256(folder_of(store, stamp) / "final.pt") == before


def test_a_seed_decides_the_weights(own_store: Store, quiet: Progress, tmp_path: Path) -> None:
    shutil.copytree(own_store.root, tmp_path / "other")
    weights = []
    for store in (own_store, Store(tmp_path / "other")):
        stamp = run(store, TINY, quiet)
        weights.append(load_checkpoint(folder_of(store, stamp) / "final.pt").model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    stamp = run(own_store, replace(TINY, seed=1, epochs=1), quiet)
    other = load_checkpoint(folder_of(own_store, stamp) / "final.pt").model.state_dict()
    assert not any(torch.equal(weights[0][name], other[name]) for name in other)


def test_the_largest_seed_trains(own_store: Store, quiet: Progress) -> None:
    assert run(own_store, replace(TINY, seed=MOST_SEED, epochs=1), quiet).fresh


class CutOffError(Exception):
    """Stands for a kill."""


class Cutting:
    """Progress that stops the run after so many windows of training."""

    def __init__(self, windows: int) -> None:
        self.left = windows
        self.labels: list[str] = []

    @contextmanager
    def task(self, label: str, total: int | None, unit: str) -> Iterator[Advance]:
        self.labels.append(label)

        def advance(count: int, note: str = "") -> None:
            self.left -= count if "epoch" in label else 0
            if self.left < 0:
                raise CutOffError

        yield advance


@pytest.mark.parametrize("windows", [1_000, 6_000, 12_000, 16_000])
def test_a_cut_off_run_ends_as_one_that_was_not(
    trained: tuple[Store, Stamp],
    own_store: Store,
    monkeypatch: pytest.MonkeyPatch,
    windows: int,
) -> None:
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_SAVES", 0.0)  # after every step
    with pytest.raises(CutOffError):
        run(own_store, TINY, Cutting(windows))
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_SAVES", 300.0)
    assert own_store.stamp(CHECKPOINT, "tiny") is None
    never = Cutting(10**9)
    stamp = run(own_store, TINY, never)
    assert never.labels[0].endswith(" of 2, going on where the run was cut off")
    whole, cut = folder_of(*trained), folder_of(own_store, stamp)
    for name in ("best.pt", "final.pt"):
        one, other = (load_checkpoint(f / name).model.state_dict() for f in (whole, cut))
        assert all(torch.equal(one[key], other[key]) for key in one), name
    in_epoch = sum(n - 3 for n in load_training_set(own_store).split("train")["frames"])
    sittings = [sitting["from_epoch"] for sitting in read_json(cut / "manifest.json")["sittings"]]
    assert sittings == [1, 1 + windows // in_epoch]
    for one, other in zip(
        *(read_json(f / "manifest.json")["all_epochs"] for f in (whole, cut)), strict=True
    ):
        for key in one.keys() - {"seconds", "samples_per_second"}:
            assert other[key] == pytest.approx(one[key], rel=1e-9), key


def test_a_run_does_not_go_on_from_what_was_saved_for_another(
    own_store: Store, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_SAVES", 0.0)
    with pytest.raises(CutOffError):
        run(own_store, TINY, Cutting(1_000))
    [resume] = own_store.runs("tiny").glob("*/resume.pt")
    content = torch.load(resume, weights_only=True)
    content["made_for"]["config"] = "another"
    torch.save(content, resume)
    with pytest.raises(SchemaMismatchError, match=r"resume\.pt \(delete it to start over\)"):
        run(own_store, TINY, quiet)


def test_games_in_the_memory_of_a_device_train_the_same_weights(
    trained: tuple[Store, Stamp],
    own_store: Store,
    quiet: Progress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `settle` does on a card with room, in the machine's own memory."""
    moved: list[int] = []

    def settle(games: OpenGames, device: torch.device) -> OpenGames:
        moved.append(len(games.shards))
        return games.to(device)

    monkeypatch.setattr(loop, "settle", settle)
    stamp = run(own_store, TINY, quiet)
    assert moved == [2, 1]  # training games of both sources, validation games of one
    one, other = (
        load_checkpoint(folder_of(*made) / "final.pt").model.state_dict()
        for made in (trained, (own_store, stamp))
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_games_move_to_a_card_that_has_room_for_them() -> None:
    gigabyte = 10**9
    assert fits(15 * gigabyte, 23 * gigabyte)  # 22,000 games on a card of 24 GB
    assert not fits(15 * gigabyte, 16 * gigabyte)  # no room for the model
    assert not fits(1, 0)
    here = OpenGames(
        [torch.zeros((4, 1), dtype=torch.uint8)],
        RecordLayout.of([("frame_u1", "u1", (1,))]),
        torch.zeros(1, dtype=torch.int64),
        torch.zeros(1, dtype=torch.int64),
        torch.tensor([4]),
        torch.ones((1, 1), dtype=torch.bool),
    )
    assert settle(here, torch.device("cpu")) is here
    if torch.cuda.is_available():
        assert settle(here, torch.device("cuda")).device.type == "cuda"


def test_a_run_is_trained_by_one_process_at_a_time(own_store: Store, quiet: Progress) -> None:
    stamp = run(own_store, TINY, quiet)
    (folder_of(own_store, stamp) / "final.pt").unlink()
    with (
        run_lock(own_store, "tiny", stamp.version),
        pytest.raises(BusyError, match=rf"tiny\.{stamp.version}: process \d+ is working on it"),
    ):
        run(own_store, TINY, quiet)
    assert run(own_store, TINY, quiet).fresh


def test_max_games_is_kept_to(own_store: Store, quiet: Progress) -> None:
    stamp = run(own_store, replace(TINY, max_games=3, epochs=1), quiet)
    manifest = read_json(folder_of(own_store, stamp) / "manifest.json")
    assert len(manifest["game_md5s"]) == 3
    assert len(manifest["validation_md5s"]) == 1
    lineage = read_lineage(folder_of(own_store, stamp))
    assert sum(len(md5s) for md5s in lineage["games"].values()) == 3


def test_a_loss_that_is_not_finite_stops_the_run(own_store: Store, quiet: Progress) -> None:
    with pytest.raises(TrainingError, match=r"epoch 1, step \d+: loss_\w+ is not finite; lower lr"):
        run(own_store, replace(TINY, lr=1e30), quiet)


def test_a_checkpoint_of_another_schema_is_refused(
    trained: tuple[Store, Stamp], tmp_path: Path
) -> None:
    store, stamp = trained
    content = torch.load(folder_of(store, stamp) / "best.pt", weights_only=True)
    content["header"] = content["header"].replace('"schema": "', '"schema": "0')
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(SchemaMismatchError, match="schema: expected"):
        load_checkpoint(tmp_path / "other.pt")


def test_a_device_that_is_not_there_is_named() -> None:
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="'toaster' is unknown; expected auto, cpu, cuda or mps"):
        pick_device("toaster")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="'cuda' is not to be had here"):
            pick_device("cuda")


def test_a_card_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert pick_device("cuda:1").index == 1
    with pytest.raises(ConfigError, match=r"'cuda:2' is not to be had here; .* cuda:0 to cuda:1"):
        pick_device("cuda:2")


ALL_KNOBS = replace(TINY, warmup=30, ema=0.9, grad_clip=0.5, patience=5)
SEQUENCES = TrainConfig(
    experiment="sequences",
    model=Mamba2Config(encoding="v3", context=12, width=16, layers=1, state=4, head=8, chunk=8),
    epochs=2,
    loss_weights=loss_weights("v3"),
    warmup=10,
    ema=0.5,
)


@pytest.mark.parametrize("config", [ALL_KNOBS, SEQUENCES], ids=lambda c: c.experiment)
def test_with_all_knobs_a_cut_off_run_still_ends_as_one_that_was_not(
    config: TrainConfig,
    own_store: Store,
    quiet: Progress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Averaged weights, warm-up and the moving starts of sequences go on as well."""
    shutil.copytree(own_store.root, tmp_path / "whole")
    whole = folder_of(Store(tmp_path / "whole"), run(Store(tmp_path / "whole"), config, quiet))
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_SAVES", 0.0)
    with pytest.raises(CutOffError):
        run(own_store, config, Cutting(300))
    cut = folder_of(own_store, run(own_store, config, quiet))
    for name in ("best.pt", "final.pt"):
        one, other = (load_checkpoint(f / name).model.state_dict() for f in (whole, cut))
        assert all(torch.equal(one[key], other[key]) for key in one), name


def test_averaged_weights_are_what_is_kept(own_store: Store, quiet: Progress) -> None:
    """An average of all weights so far lags behind the last ones."""
    plain, averaged = (
        load_checkpoint(folder_of(own_store, run(own_store, config, quiet)) / "final.pt").model
        for config in (TINY, replace(TINY, experiment="averaged", ema=0.999))
    )
    for (name, one), other in zip(
        plain.state_dict().items(), averaged.state_dict().values(), strict=True
    ):
        assert not torch.equal(one, other), name


def test_the_learning_rate_warms_up_and_anneals() -> None:
    config = replace(TINY, lr=0.1, epochs=4, warmup=10)
    rising = [learning_rate(config, 0, step) for step in (0, 4, 9, 500)]
    assert rising == pytest.approx([0.01, 0.05, 0.1, 0.1])
    rates = [learning_rate(config, epoch, 500) for epoch in range(4)]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    for rate in rates:
        assert rate == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("losses", "patience", "ends"),
    [
        ([3, 2, 1], 1, False),
        ([3, 2, 2], 1, True),
        ([3, 1, 2], 2, False),
        ([3, 1, 2, 2], 2, True),
        ([1, 1, 1, 1], None, False),
        ([1] * 9, None, True),
        ([], 1, False),
    ],
)
def test_a_run_ends_when_it_has_not_become_better(
    losses: list[float], patience: int | None, ends: bool
) -> None:
    config = replace(TINY, epochs=9, patience=patience)
    assert over(config, [{"loss": 0.0, "validation_loss": loss} for loss in losses]) is ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_run_before_it_ends_it(
    built_store: Store, tmp_path: Path, number: signal.Signals
) -> None:
    """A real process, ended in the middle of an epoch, goes on with the next step."""
    root = tmp_path / "data"
    shutil.copytree(built_store.root, root)
    command = [sys.executable, "-m", "melee_pipeline_tests.training.long_run", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        process.send_signal(number)
        try:
            process.wait(timeout=120)
        finally:
            process.kill()
    assert process.returncode in (-number, 1, 130)
    [resume] = root.glob("runs/long/*/resume.pt")
    state = torch.load(resume, weights_only=True)
    assert state["begun"]["step"] > 0
    assert state["steps"] == state["begun"]["step"]


def test_a_signal_that_comes_after_the_last_step_is_not_lost() -> None:
    """Held until the block ends, and then what it would have been."""
    ends = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: ends.append(number))
    try:
        with held_back() as interrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupt.requested
            assert ends == []
        assert ends == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.replays
def test_the_toy_game_reaches_the_reference(
    real_replays: dict[str, Path], store: Store, quiet: Progress, tmp_path: Path
) -> None:
    """spec: one game, 20 epochs of mlp_v1, measured on the frames it was trained on."""
    from melee_pipeline.evaluation.report import evaluate
    from melee_pipeline.pipeline import source_steps
    from melee_pipeline.sources.catalog import add_source
    from melee_pipeline.tensors.join import build_training_set
    from melee_pipeline.training.recipes import mlp_v1

    (tmp_path / "toy").mkdir()
    shutil.copy(real_replays["6827921534249607dafa57e9a67f8df4"], tmp_path / "toy" / "toy.slp")
    for step in source_steps(store, add_source(store, "toy", str(tmp_path / "toy")), quiet):
        step()
    build_training_set(store, quiet)
    stamp = run(store, mlp_v1(), quiet)
    measured = evaluate(store, folder_of(store, stamp), device="cpu", progress=quiet).report
    assert (measured["split"], measured["games"]) == ("train", 1)
    model = measured["model"]
    assert model["action_change_accuracy"] >= 0.67  # the reference: 67.2 %
    assert model["action_accuracy"] >= 0.97
    assert model["position_mae"] <= 1.10
    assert model["loss"] <= 0.25


def test_wandb_offline_writes_beside_the_run(own_store: Store, quiet: Progress) -> None:
    config = replace(TINY, epochs=1)
    stamp = train(own_store, config, device="cpu", wandb="offline", progress=quiet)
    folder = folder_of(own_store, stamp)
    [written] = (folder / "wandb").glob("offline-run-*/*.wandb")
    told, lineage = written.read_bytes(), read_lineage(folder)
    assert lineage["data_fingerprint"].encode() in told
    for source in sources_of(lineage):
        assert source.sha256.encode() in told, "from a run one can walk back to its archives"
