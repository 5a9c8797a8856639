"""The list of all checkpoints, from the records in the runs' folders."""

from __future__ import annotations

from melee_pipeline.checkpoints import list_checkpoints
from melee_pipeline.store import Store, read_json, write_json
from melee_pipeline_tests.runs import leave_run


def test_every_run_is_listed_with_the_numbers_of_its_best_epoch(own_store: Store) -> None:
    first = leave_run(own_store, "one")
    second = leave_run(own_store, "two", epochs=1, facts={"finished": False})
    third = leave_run(own_store, "three", experiment="other", max_games=2)
    write_json(third / "best-evaluation.json", {})
    for hour, folder in enumerate((second, third, first)):
        manifest = read_json(folder / "manifest.json")
        write_json(
            folder / "manifest.json", {**manifest, "written_at": f"2026-01-01T0{hour}:00:00+00:00"}
        )
    runs = list_checkpoints(own_store)
    assert [(r.experiment, r.run) for r in runs] == [
        ("tiny", "two"),
        ("other", "three"),
        ("tiny", "one"),
    ]
    assert [r.path for r in runs] == [str(second), str(third), str(first)]
    assert [(r.epochs, r.finished, r.games, r.evaluated) for r in runs] == [
        (1, False, 6, False),
        (3, True, 2, True),
        (3, True, 6, False),
    ]
    assert [(r.validation_loss, r.action_change_accuracy) for r in runs] == [
        (0.75, 0.375),
        (0.5, 0.25),
        (0.5, 0.25),
    ]
    wanted = read_json(own_store.root / "stamps" / "training_set" / "training_set.json")
    assert runs[0].data_fingerprint == wanted["facts"]["data_fingerprint"]
    assert runs[1].data_fingerprint != runs[0].data_fingerprint


def test_a_run_that_validates_nothing_and_one_that_has_just_begun(own_store: Store) -> None:
    folder = leave_run(own_store, "one", epochs=0, facts={"finished": False})
    [run] = list_checkpoints(own_store)
    assert (run.epochs, run.validation_loss, run.problem) == (0, None, "")
    manifest = read_json(folder / "manifest.json")
    epochs = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]
    write_json(folder / "manifest.json", {**manifest, "all_epochs": epochs})
    [run] = list_checkpoints(own_store)
    assert (run.epochs, run.validation_loss, run.action_change_accuracy) == (2, None, None)


def test_a_damaged_record_hides_no_other_run(own_store: Store) -> None:
    leave_run(own_store, "one")
    (leave_run(own_store, "two") / "manifest.json").write_text("{")
    (leave_run(own_store, "three") / "manifest.json").write_text("[]")
    (leave_run(own_store, "four") / "manifest.json").write_text('{"finished": true}')
    runs = {run.run: run for run in list_checkpoints(own_store)}
    assert runs["one"].problem == ""
    assert "two/manifest.json is not valid JSON" in runs["two"].problem
    for name in ("three", "four"):
        assert f"{name}/manifest.json is not a run's record" in runs[name].problem


def test_an_empty_data_root_has_none(store: Store) -> None:
    assert list_checkpoints(store) == []
