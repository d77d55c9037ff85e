import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.positions import positions

numbers = st.integers(-(2**62), 2**62) | st.integers(-4, 4)


@settings(deadline=None)
@given(st.lists(numbers, max_size=40), st.lists(numbers, max_size=40))
def test_positions_are_those_of_numpy(among: list[int], sought: list[int]) -> None:
    ascending, keys = np.sort(np.array(among, dtype=np.int64)), np.array(sought, dtype=np.int64)
    assert positions(ascending, keys).tolist() == np.searchsorted(ascending, keys).tolist()


def test_many_numbers_of_any_shape_and_layout() -> None:
    rng = np.random.default_rng(0)
    ascending, keys = np.sort(rng.integers(0, 10**6, 5000)), rng.integers(-10, 10**6 + 10, (3000, 2))
    for part in (keys, keys.T, keys[::2, 0], keys[:0]):
        found = positions(ascending, part)
        assert found.shape == part.shape
        assert (found == np.searchsorted(ascending, part)).all()
    assert (positions(ascending[::3], keys) == np.searchsorted(ascending[::3], keys)).all()
