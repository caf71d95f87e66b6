"""What the packages candidates and ranker share: purchases, sessions, factors, and how ranked
lists are measured.

An order's first lines are its session; the rest of its lines is what a list should contain. Items
are numbered from 1; 0 stands for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from sklearn.utils.extmath import randomized_svd

from quintet_publish.kit import read_table

__all__ = [
    "AGAIN",
    "CUT",
    "DATA",
    "FADES",
    "LISTED",
    "MEASURES",
    "POPULAR",
    "SEED",
    "Factors",
    "Purchases",
    "Session",
    "candidates_of",
    "fit_factors",
    "found_in",
    "history_of",
    "intervals",
    "measured",
    "measures",
    "read_purchases",
    "sessions_of",
    "svd_lists",
]

DATA = Path(__file__).parent / "candidates" / "data"
SEED = 20111101

CUT = 426  # 1 November 2011, in days from 1 September 2010: orders from here on are held out
SESSION = 5  # the lines of an order that are its session
REST = 3  # an order with fewer lines than this after its session is left out
HISTORY = 300  # the newest purchases of a customer that are used
FADES = 180.0  # days after which a purchase counts 1/e
RANK = 64  # of the item-item matrix
RIDGE = 200.0
AGAIN = 0.2  # the weight of having bought the item itself
POPULAR = 0.3  # the weight of an item's popularity
SEASON = 30  # days over which popularity is counted
LISTED = 200  # candidates of a customer
SHOWN = 20  # recommendations of a session
DRAWS = 500  # of the bootstrap


@dataclass(frozen=True)
class Purchases:
    """The lines of the shop's orders, in order of time.

    `item` is the item's number, `day` the days from 1 September 2010, `order` numbers the orders.
    """

    customer: NDArray[np.int32]
    order: NDArray[np.int32]
    day: NDArray[np.int16]
    item: NDArray[np.int16]

    def of(self, chosen: NDArray[Any]) -> Purchases:
        """Some of the lines."""
        values = (self.customer, self.order, self.day, self.item)
        return Purchases(*(value[chosen] for value in values))


@dataclass(frozen=True)
class Session:
    """An order: its first lines, the rest, and what the customer had bought before that day."""

    customer: int
    day: int
    shown: NDArray[np.int16]
    rest: NDArray[np.int16]
    items: NDArray[np.int16]
    days: NDArray[np.float32]


@dataclass(frozen=True)
class Factors:
    """The item-item matrix `left @ right` (items + 1, items + 1), and the items' popularity.

    `left` is (items + 1, RANK), `right` (RANK, items + 1), both float16; `popularity` float32, the
    most popular item has 1. Item 0 has zeros.
    """

    left: NDArray[np.float16]
    right: NDArray[np.float16]
    popularity: NDArray[np.float32]


def read_purchases() -> Purchases:
    """The committed lines."""
    table = read_table(DATA / "purchases.parquet")
    return Purchases(*(table[name] for name in ("customer", "order", "day", "item")))


def history_of(lines: Purchases, day: int) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """The newest purchases of one customer before a day, newest first, and their ages in days."""
    before = np.flatnonzero(lines.day < day)[::-1][:HISTORY]
    return lines.item[before], (day - lines.day[before]).astype(np.float32)


def sessions_of(purchases: Purchases, start: int, end: int) -> list[Session]:
    """The orders of the days from `start` to before `end` that are long enough."""
    rows = np.argsort(purchases.customer, kind="stable")
    customers, starts = np.unique(purchases.customer[rows], return_index=True)
    found = []
    for customer, places in zip(customers.tolist(), np.split(rows, starts[1:]), strict=True):
        lines = purchases.of(places)
        for order in dict.fromkeys(lines.order[(lines.day >= start) & (lines.day < end)].tolist()):
            mine = np.flatnonzero(lines.order == order)
            items = lines.item[mine]
            if len(items) >= SESSION + REST:
                day = int(lines.day[mine[0]])
                past = history_of(lines, day)
                found.append(Session(customer, day, items[:SESSION], items[SESSION:], *past))
    return found


def fit_factors(purchases: Purchases, cut: int, items: int) -> Factors:
    """The item-item matrix of the orders before a day, at a low rank.

    The matrix is EASE's (Steck 2019, https://arxiv.org/abs/1905.03375), with orders as users.
    """
    past = purchases.of(purchases.day < cut)
    orders = np.unique(past.order, return_inverse=True)[1]
    ones = np.ones(len(orders))
    bought = sparse.csr_matrix((ones, (orders, past.item)), shape=(orders.max() + 1, items + 1))
    gram = (bought.T @ bought).toarray()
    gram[np.diag_indices(items + 1)] += RIDGE
    inverse = linalg.cho_solve(linalg.cho_factor(gram), np.eye(items + 1))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    u, s, vt = randomized_svd(weights, RANK, n_iter=5, random_state=SEED)
    u, vt = u * np.sqrt(s), vt * np.sqrt(s)[:, np.newaxis]
    u[0], vt[:, 0] = 0.0, 0.0
    sold = np.bincount(past.item[past.day >= cut - SEASON], minlength=items + 1)
    popularity = (sold / sold.max()).astype(np.float32)
    return Factors(u.astype(np.float16), vt.astype(np.float16), popularity)


def candidates_of(
    factors: Factors, sessions: list[Session]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The candidates of each session's customer and their scores, (sessions, LISTED) each.

    In float64, as the graph of the package candidates computes them.
    """
    weights = np.zeros((len(sessions), len(factors.popularity)))
    for row, session in enumerate(sessions):
        np.add.at(weights[row], session.items, np.exp(session.days.astype(float) / -FADES))
    scores = weights @ factors.left.astype(float) @ factors.right.astype(float)
    scores += AGAIN * weights + POPULAR * factors.popularity.astype(float)
    scores[:, 0] = -np.inf
    ids = _best(scores)
    return ids, np.take_along_axis(scores, ids, axis=1).astype(np.float32)


def _best(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The LISTED items of each row with the highest scores, of equal ones the lower number first.

    Only those at least as good as the last one are sorted, which is much faster than sorting all.
    """
    last = np.partition(scores, -LISTED, axis=1)[:, -LISTED]
    found = np.empty((len(scores), LISTED), dtype=np.int64)
    for row, (values, least) in enumerate(zip(scores, last, strict=True)):
        items = np.flatnonzero(values >= least)
        found[row] = items[np.argsort(-values[items], kind="stable")[:LISTED]]
    return found


def svd_lists(purchases: Purchases, sessions: list[Session], items: int) -> NDArray[np.int64]:
    """The lists of a truncated SVD of customers and items (PureSVD), (sessions, LISTED).

    The baseline: it knows the session's items, as the ranker does.
    """
    past = purchases.of(purchases.day < CUT)
    customers = np.unique(past.customer, return_inverse=True)[1]
    bought = sparse.csr_matrix(
        (np.ones(len(customers)), (customers, past.item)), shape=(customers.max() + 1, items + 1)
    )
    bought.data[:] = 1.0
    _, _, vt = randomized_svd(bought, RANK, n_iter=5, random_state=SEED)
    had = np.zeros((len(sessions), items + 1))
    for row, session in enumerate(sessions):
        had[row, session.items] = had[row, session.shown] = 1.0
    scores = had @ vt.T @ vt
    scores[:, 0] = -np.inf
    return _best(scores)


def found_in(sets: list[NDArray[Any]], lists: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each item of a list, (sets, many), is in the set of its row."""
    most = max(int(lists.max()), *(int(one.max(initial=0)) for one in sets))
    has = np.zeros((len(sets), most + 1), dtype=np.bool_)
    has[np.repeat(np.arange(len(sets)), [len(one) for one in sets]), np.concatenate(sets)] = True
    found: NDArray[np.bool_] = has[np.arange(len(sets))[:, np.newaxis], lists]
    return found


def measured(lists: NDArray[Any], sessions: list[Session]) -> NDArray[np.float64]:
    """hit@10, hit@20 and NDCG@20 of each session's list, (sessions, 3).

    `lists` holds items in order, (sessions, many); those of the session itself do not count.
    """
    discounts = 1 / np.log2(np.arange(2, SHOWN + 2))
    right = found_in([session.rest for session in sessions], _shown(lists, sessions))
    wanted = [min(len(session.rest), SHOWN) for session in sessions]
    best = np.cumsum(discounts)[np.array(wanted) - 1]
    gains = (right * discounts).sum(axis=1) / best
    return np.column_stack([right[:, :10].any(axis=1), right.any(axis=1), gains])


def _shown(lists: NDArray[Any], sessions: list[Session]) -> NDArray[np.int64]:
    """The first SHOWN items of each list that are not in its session, (sessions, SHOWN)."""
    known = found_in([session.shown for session in sessions], lists)
    first = np.argsort(known, axis=1, kind="stable")[:, :SHOWN]
    return np.take_along_axis(lists, first, axis=1)


#: what is measured of a list, and the share of the catalogue in all lists together
MEASURES = ("hit_10", "hit_20", "ndcg_20", "coverage")


def measures(lists: NDArray[Any], sessions: list[Session], items: int) -> NDArray[np.float64]:
    """The means of `measured`, and the share of the catalogue that the lists show."""
    coverage = len(np.unique(_shown(lists, sessions))) / items
    return np.append(measured(lists, sessions).mean(axis=0), coverage)


def intervals(
    lists: dict[str, NDArray[Any]], sessions: list[Session], items: int
) -> dict[str, NDArray[np.float64]]:
    """The bootstrap's draws of the measures of each ranking, (DRAWS, 4).

    Customers are drawn, not sessions: a customer's sessions resemble each other.
    """
    drawn, place = np.unique([session.customer for session in sessions], return_inverse=True)
    rng = np.random.default_rng(SEED)
    even = np.full(len(drawn), 1 / len(drawn))
    weights = rng.multinomial(len(drawn), even, size=DRAWS).astype(np.float32)
    number = weights @ np.bincount(place).astype(np.float32)
    found = {}
    for name, ranked in lists.items():
        sums = np.zeros((len(drawn), 3))
        np.add.at(sums, place, measured(ranked, sessions))
        seen = np.zeros((len(drawn), items + 1), dtype=np.float32)
        seen[place[:, np.newaxis], _shown(ranked, sessions)] = 1
        coverage = ((weights @ seen) > 0).sum(axis=1) / items
        found[name] = np.column_stack([weights @ sums / number[:, np.newaxis], coverage])
    return found
