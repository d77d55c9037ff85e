"""A table from the nodes of a subgraph to their places in it: open addressing, compiled.

A slot counts only if it was written for the very subgraph, so that nothing needs to be cleared between two.
"""

import numpy as np

from recsys.compiled import inner

PLACE = 0xFFFFFFFF  # the half of a slot that holds a place

_GOLDEN, _S32 = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


@inner
def empty_table(capacity: int) -> np.ndarray:
    """A table without nodes, int64, [capacity, 2]: a node's number, and subgraph and place; a power of two."""
    slots = np.empty((capacity, 2), np.int64)
    for i in range(capacity):
        slots[i, 0] = slots[i, 1] = -1
    return slots


@inner
def place_of(slots: np.ndarray, s: int, number: int, place: int) -> int:
    """The place of node `number` in subgraph s, which is `place` if it is new; at least half the slots must be free."""
    mask = np.uint64(slots.shape[0] - 1)
    slot = ((np.uint64(number) * _GOLDEN) >> _S32) & mask
    while slots[slot, 1] >> 32 == s:
        if slots[slot, 0] == number:
            return slots[slot, 1] & PLACE
        slot = (slot + np.uint64(1)) & mask
    slots[slot, 0], slots[slot, 1] = number, (s << 32) | place
    return place
