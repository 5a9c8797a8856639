"""The computed order: a permutation for every size and seed, and one that mixes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melee_pipeline.tensors.shuffle import Shuffle

FULL = 196_000_000  # windows of 22,000 games


@given(st.integers(1, 3000), st.integers(0, 2**63))
def test_every_number_once(size: int, seed: int) -> None:
    found = Shuffle(size, seed)(np.arange(size))
    assert np.array_equal(np.sort(found), np.arange(size))


@given(st.integers(1, 2**40), st.integers(0, 2**63), st.data())
def test_a_place_has_its_number_whoever_stands_beside_it(
    size: int, seed: int, data: st.DataObject
) -> None:
    """Any size: within it, distinct, and the same whether asked for alone or with others."""
    places = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=50, unique=True))
    shuffle = Shuffle(size, seed)
    found = shuffle(np.array(places))
    assert ((found >= 0) & (found < size)).all()
    assert len(set(found.tolist())) == len(places)
    assert [int(shuffle(np.array([place]))[0]) for place in places] == found.tolist()
    assert np.array_equal(Shuffle(size, seed)(np.array(places)), found)


def test_an_order_stays_as_it_is() -> None:
    """A run that was cut off under one version of numpy goes on under another."""
    assert Shuffle(10, 0)(np.arange(10)).tolist() == [9, 7, 8, 3, 4, 5, 6, 0, 1, 2]
    places = np.array([0, 1, FULL - 1])
    assert Shuffle(FULL, 7)(places).tolist() == [77055014, 164279741, 84001803]


@pytest.mark.parametrize("size", [1000, 65_536, FULL])
def test_batches_are_spread_like_draws(size: int) -> None:
    """Chi-squared of 100 bins over consecutive places: as of random draws, and of no pattern."""
    count = min(size, 20_000)
    for seed in range(20):
        found = Shuffle(size, seed)(np.arange(count // 2))
        bins = np.bincount(found * 100 // size, minlength=100)
        expected = len(found) / 100
        # 99 degrees of freedom: mean 99, standard deviation 14; drawing without return lessens it.
        assert ((bins - expected) ** 2 / expected).sum() < 99 + 5 * 14


@pytest.mark.parametrize("size", [1000, 65_536, FULL])
def test_neighbours_do_not_stay_neighbours(size: int) -> None:
    """Steps between consecutive places: a third of the size on average, up as often as down."""
    steps, ups = [], []
    for seed in range(20):
        step = np.diff(Shuffle(size, seed)(np.arange(1000)))
        steps.append(np.abs(step).mean() / size)
        ups.append((step > 0).mean())
    assert np.mean(steps) == pytest.approx(1 / 3, abs=0.01)
    assert np.mean(ups) == pytest.approx(1 / 2, abs=0.01)


def test_small_orders_are_all_drawn() -> None:
    """Of four numbers every one of the 24 orders comes, none of them much too often."""
    orders = [tuple(Shuffle(4, seed)(np.arange(4)).tolist()) for seed in range(2400)]
    counts = np.array([orders.count(order) for order in set(orders)])
    assert len(counts) == 24
    assert counts.min() > 50 and counts.max() < 200


def test_another_seed_gives_another_order() -> None:
    one, other = (Shuffle(FULL, seed)(np.arange(1000)) for seed in (1, 2))
    assert (one != other).mean() > 0.99
