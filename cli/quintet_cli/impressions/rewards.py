"""The reward model of the doubly robust estimate: what an item earns at a position. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FOLDS", "fitted_rewards"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: users are split into so many parts; a part's rewards are those fitted on the others
FOLDS = 5
#: expected rewards at which an item's own count as much as those of all items
PRIOR = 1.0


def fitted_rewards(
    *, user: Ints, position: Ints, item: Ints, reward: Floats, asked: Ints, of: Ints
) -> Floats:
    """The fitted rewards of items, (asked,): `asked` items, each at the place of row `of`.

    The rows that it learns from have a `user` (numbered from 0), a `position`, an `item` and a
    `reward`, (rows,) each. The reward is the mean reward of the position times the item's factor,
    its rewards over those of a mean item at its positions, and at most 1. No user's rewards take
    part in what is fitted for them.
    """
    numbers, codes = np.unique(np.concatenate([item, asked]), return_inverse=True)
    shown, wanted = codes[: len(item)], codes[len(item) :]
    places = np.unique(position, return_inverse=True)[1]
    count = int(places.max(initial=-1)) + 1
    fold = user % FOLDS
    found = np.zeros(len(asked))
    for number in range(FOLDS):
        train = fold != number
        seen = np.bincount(places[train], minlength=count)
        mean = np.bincount(places[train], reward[train], count) / np.maximum(seen, 1)
        usual = np.bincount(shown[train], mean[places[train]], len(numbers))
        earned = np.bincount(shown[train], reward[train], len(numbers))
        factor = (earned + PRIOR) / (usual + PRIOR)
        here = fold[of] == number
        found[here] = np.minimum(mean[places[of[here]]] * factor[wanted[here]], 1.0)
    return found
