"""Which items tell most about a newcomer who says of each: liked, disliked, or not known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from ecomrec.data.interactions import Interactions
from ecomrec.state import ArrayRule

#: Answers, as children of a node of the tree.
LIKED, DISLIKED, UNKNOWN = 0, 1, 2
# A group of users smaller than this is not divided further.
_LEAST_USERS = 20
_N_FACTORS = 16
# The tree is to tell who likes which of so many items, those that most users like.
_N_TOLD = 5000


@dataclass(frozen=True, eq=False)
class Questions:
    """What `Onboarding` learns.

    Attributes
    ----------
    order : ndarray of shape (n,), int32
        Items in the order in which they are asked about, whatever the answers; behind a leaf of
        the tree, if there is one.
    items : ndarray of shape (n_nodes,), int32
        The item that each node of the tree asks about; the first node is the root.
    children : ndarray of shape (n_nodes, 3), int32
        The node behind each answer, -1 behind a leaf.
    """

    order: np.ndarray
    items: np.ndarray
    children: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n_nodes = len(self.items)
        return {
            "order": ArrayRule((-1,), 0, shop.n_items),
            "items": ArrayRule((-1,), 0, shop.n_items),
            "children": ArrayRule((n_nodes, 3), -1, n_nodes),
        }


def static(order: np.ndarray) -> Questions:
    """Return the same questions for everybody."""
    nothing = np.empty(0, dtype=np.int32)
    return Questions(order.astype(np.int32), nothing, nothing.reshape(0, 3))


def entropies(liked: np.ndarray, disliked: np.ndarray, n_users: int) -> np.ndarray:
    r"""Entropy of the three answers, :math:`-\sum_a p_a \log p_a`, by item."""
    shares = np.stack((liked, disliked, n_users - liked - disliked)) / n_users
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    total: np.ndarray = -(shares * logs).sum(axis=0)
    return total


def log_popularity_entropies(liked: np.ndarray, disliked: np.ndarray) -> np.ndarray:
    """Logarithm of how many know an item, times the entropy of what they say of it."""
    known = liked + disliked
    counts: np.ndarray = np.log1p(known) * entropies(liked, disliked, np.maximum(known, 1))
    return counts


def a_optimal(liked: sp.csr_array, pool: np.ndarray, n: int) -> np.ndarray:
    r"""Items whose answers leave least uncertain what a newcomer likes, chosen one by one.

    A truncated singular value decomposition gives vectors, whose products are nearest to 1 for
    what users like and to 0 for the rest; :math:`\sigma_i^2` is what that leaves of item i. A
    newcomer's vector x is drawn like those of the users, with their covariance S. An answer about
    item i is :math:`y_i^\top x` plus noise, and changes S to :math:`S - S y_i y_i^\top S /
    (\sigma_i^2 + y_i^\top S y_i)`. With :math:`p_i` the share of users who like i, a step takes
    the item with the largest :math:`p_i`, the chance of such an answer, times the fall of
    :math:`\sum_j p_j \, y_j^\top S y_j`, the weighted variance of all predictions.
    """
    shares = liked.sum(axis=0).astype(np.float64) / max(liked.shape[0], 1)
    users, vectors = _vectors(liked)
    rows, chances = vectors[pool], shares[pool]
    held = np.asarray((liked[:, pool].T @ users), dtype=np.float64)
    inner = users.T @ users / max(len(users), 1)
    noise = chances - 2 * (rows * held).sum(axis=1) / max(len(users), 1)
    noise = np.maximum(noise + ((rows @ inner) * rows).sum(axis=1), 1e-9)
    gram = (vectors.T * shares) @ vectors
    spread = np.atleast_2d(np.cov(users, rowvar=False, bias=True))
    chosen = np.zeros(len(pool), dtype=bool)
    order = []
    for _ in range(min(n, len(pool))):
        moved = rows @ spread
        room = noise + (moved * rows).sum(axis=1)
        gains = chances * ((moved @ gram) * moved).sum(axis=1) / room
        gains[chosen] = -1.0
        best = int(np.argmax(gains))
        chosen[best] = True
        order.append(pool[best])
        spread = spread - np.outer(moved[best], moved[best]) / room[best]
    return np.array(order, dtype=np.int32)


def _vectors(liked: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of users and items whose products are nearest to what is liked."""
    rank = min(_N_FACTORS, *liked.shape)
    with threadpool_limits(1, user_api="blas"):
        left, sizes, right = randomized_svd(
            liked.astype(np.float64), rank, n_iter=4, random_state=0
        )
    return left * sizes, right.T


def grow_tree(
    liked: sp.csr_array, disliked: sp.csr_array, pool: np.ndarray, depth: int
) -> tuple[np.ndarray, np.ndarray]:
    r"""Questions that depend on the answers so far, as items and children of nodes.

    A node asks what divides its users into those who like an item, dislike it and do not know it
    such that what they like is best told by their group: with :math:`c_{gi}` of the :math:`n_g`
    users of a group liking item i, :math:`\sum_g \sum_i c_{gi}^2 / n_g` is largest, which is the
    smallest squared error of saying the group's share of each.
    """
    n_liked = liked.sum(axis=0)
    told = liked[:, np.argsort(-n_liked, kind="stable")[:_N_TOLD]]
    items: list[int] = []
    children: list[list[int]] = []
    # Groups to divide: users, questions left, what was asked, and whose child they are.
    groups = [(np.arange(liked.shape[0]), depth, frozenset[int](), -1, LIKED)]
    while groups:
        users, left, asked, parent, place = groups.pop()
        if left == 0 or len(users) < 2 * _LEAST_USERS:
            continue
        likes, dislikes = liked[users], disliked[users]
        best = _best_split(likes, dislikes, told[users], pool, asked)
        if best < 0:
            continue
        if parent >= 0:
            children[parent][place] = len(items)
        answers = np.full(len(users), UNKNOWN)
        answers[likes[:, [best]].toarray().ravel() > 0] = LIKED
        answers[dislikes[:, [best]].toarray().ravel() > 0] = DISLIKED
        for answer in (UNKNOWN, DISLIKED, LIKED):
            group = users[answers == answer]
            groups.append((group, left - 1, asked | {best}, len(items), answer))
        items.append(best)
        children.append([-1, -1, -1])
    return np.array(items, dtype=np.int32), np.array(children, dtype=np.int32).reshape(-1, 3)


def _best_split(
    liked: sp.csr_array,
    disliked: sp.csr_array,
    told: sp.csr_array,
    pool: np.ndarray,
    asked: frozenset[int],
) -> int:
    """The item of the pool whose answers divide some users best; -1 if none divides them."""
    totals = told.sum(axis=0)
    gains = np.zeros(len(pool))
    rest, n_rest = np.tile(totals.astype(np.float64), (len(pool), 1)), np.full(len(pool), 1.0)
    n_rest *= liked.shape[0]
    for answers in (liked, disliked):
        said = answers[:, pool]
        counts = np.asarray((said.T @ told).todense(), dtype=np.float64)
        sizes = said.sum(axis=0).astype(np.float64)
        gains += _weighed(counts, sizes)
        rest -= counts
        n_rest -= sizes
    gains += _weighed(rest, n_rest)
    usable = np.array([item not in asked for item in pool.tolist()], dtype=bool)
    usable &= n_rest < liked.shape[0]
    if not usable.any():
        return -1
    gains[~usable] = -1.0
    return int(pool[np.argmax(gains)])


def _weighed(counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    sums = np.einsum("ni,ni->n", counts, counts)
    shares: np.ndarray = np.divide(sums, sizes, out=np.zeros_like(sums), where=sizes > 0)
    return shares
