"""One random generator per fit, made from `random_state`."""

import numbers

import numpy as np

RandomState = None | int | np.random.Generator | np.random.RandomState


def make_rng(random_state: RandomState) -> np.random.Generator:
    """Return a Generator for None, a non-negative integer, a Generator or a RandomState."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**32, size=4, dtype=np.uint32))
    if random_state is None:
        return np.random.default_rng()
    if (
        isinstance(random_state, numbers.Integral)
        and not isinstance(random_state, bool)
        and random_state >= 0
    ):
        return np.random.default_rng(int(random_state))
    raise ValueError(
        "random_state must be None, a non-negative integer, a numpy Generator or a RandomState; "
        f"got {random_state!r}."
    )
