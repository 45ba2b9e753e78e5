"""Arrays that blocks use again."""

import threading

import numpy as np

from pricers.numerics.workspace import empty, enter, lent


def test_an_array_is_handed_out_again_once_nobody_refers_to_it():
    with lent(1) as (space,):
        first, second = space.empty((3, 100)), space.empty((300,))
        assert not np.shares_memory(first, second)
        view, where = first[1], first.ctypes.data
        del first
        assert space.empty((300,)).ctypes.data != where  # a view keeps it
        del view
        assert space.empty((2, 130)).ctypes.data == where
        assert second.size == 300


def test_what_is_small_outlasts_a_run_and_what_is_large_does_not():
    with lent(2) as (one, other):
        assert one is not other
        one.empty((1000,))
    with lent(2) as again:
        assert {id(space) for space in again} == {id(one), id(other)}
        again[0].empty((2**23,))
    with lent(2) as third:
        assert again[0] not in third
        assert again[1] in third


def test_each_thread_has_its_own():
    found = []

    def cost_ns(space):
        enter(space)
        found.append(empty((64,)))
        found.append(space.empty((64,)))

    with lent(2) as spaces:
        before = enter(spaces[0])
        mine = empty((64,))
        thread = threading.Thread(target=cost_ns, args=(spaces[1],))
        thread.start()
        thread.join()
        assert enter(before) is spaces[0]
    assert not any(np.shares_memory(mine, theirs) for theirs in found)
    assert not np.shares_memory(*found)
