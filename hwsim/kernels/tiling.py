"""Every tiling of a layer for one level of memories, in every loop order: the cheapest few."""

from __future__ import annotations

from typing import Any

__all__ = ["ARENA", "RESULT", "search"]

RESULT, ARENA = 6, 9


def _row_traffic() -> Any:
    from numba import njit

    @njit
    def fetched(rows: int, tile: int, trips: int, p: Any) -> int:
        """Input rows that all tiles of output rows fetch."""
        last = rows - (trips - 1) * tile
        return (trips - 1) * min((tile - 1) * p[7] + p[6], p[8]) + min((last - 1) * p[7] + p[6], p[8])

    return fetched


def _keeper() -> Any:
    from numba import njit

    @njit
    def keep(score: float, found: Any, best: Any, scores: Any, count: int) -> None:
        """Insert a tiling into the sorted list; of one score only that of the fewest trips stays."""
        at = count
        while at > 0 and (score < scores[at - 1] or (score == scores[at - 1] and found[5] < best[6 * at - 1])):
            at -= 1
        if at == count or (at > 0 and scores[at - 1] == score):
            return
        end = at
        while end < count - 1 and scores[end] != score:
            end += 1
        for i in range(end, at, -1):
            scores[i] = scores[i - 1]
            for j in range(6):
                best[6 * i + j] = best[6 * (i - 1) + j]
        scores[at] = score
        for j in range(6):
            best[6 * at + j] = found[j]

    return keep


def search() -> Any:
    """Kernel: the tilings whose traffic costs least.

    args: counts of tile sizes of groups, outputs, channels and rows; addresses of these sizes, of the problem (its fields in their
    order), of capacities per group of operands (-1: unlimited), of each operand's group (-1: it does not move), of copies kept of a
    tile, of the price of a bit moved, of the results (rows of groups, outputs, channels, rows, order, trips) and of their scores; how
    many to find.  The arena holds 9 words.  Operands are weights, inputs, outputs; orders are those of hwsim.mapping.ORDERS.
    """
    from hwsim.kernels import raw

    i64, f64, fetched, keep = raw.i64, raw.f64, _row_traffic(), _keeper()

    def kernel(args: int, arena: int) -> None:
        a = i64(args, 16)
        sizes_g, sizes_k, sizes_c, sizes_r = i64(a[4], a[0]), i64(a[5], a[1]), i64(a[6], a[2]), i64(a[7], a[3])
        p, capacities, group, copies = i64(a[8], 14), i64(a[9], 3), i64(a[10], 3), i64(a[11], 3)
        price, best, scores = f64(a[12], 3), i64(a[13], a[15] * 6), f64(a[14], a[15])
        used, found, least = i64(arena, 3), i64(arena + 24, 6), p[0] * p[1] * p[3] * p[4]
        for g in sizes_g:
            for k in sizes_k:
                for c in sizes_c:
                    whole = c >= p[2]
                    for r in sizes_r:
                        used[:] = 0
                        sizes = (
                            g * k * c * p[5] * p[10],
                            g * c * min((r - 1) * p[7] + p[6], p[8]) * p[9] * p[11],
                            g * k * r * p[4] * (p[12] if whole else p[13]),
                        )
                        legal = True
                        for o in range(3):
                            if group[o] >= 0:
                                used[group[o]] += sizes[o] * copies[o]
                                legal = legal and (capacities[group[o]] < 0 or used[group[o]] <= capacities[group[o]])
                        if not legal:
                            break
                        nk, nc, nr = -(-p[1] // k), -(-p[2] // c), -(-p[3] // r)
                        weights = p[0] * p[1] * p[2] * p[5] * p[10]
                        inputs = p[0] * p[2] * fetched(p[3], r, nr, p) * p[9] * p[11]
                        for order in range(6):
                            # KRC RKC KCR CKR RCK CRK: what turns inside each loop
                            in_k = (nr > 1 and order in (0, 2, 3)) or (nc > 1 and order in (0, 1, 2))
                            in_r = (nk > 1 and order in (1, 4, 5)) or (nc > 1 and order in (0, 1, 4))
                            in_c = (nk > 1 and order in (3, 4, 5)) or (nr > 1 and order in (2, 3, 5))
                            spilled = least * (nc - 1) * p[13] if in_c else 0
                            score = price[0] * weights * (nr if in_r else 1) + price[1] * inputs * (nk if in_k else 1)
                            score += price[2] * (least * p[12] + 2 * spilled)
                            trips = -(-p[0] // g) * nk * nc * nr
                            found[0], found[1], found[2], found[3], found[4], found[5] = g, k, c, r, order, trips
                            keep(score, found, best, scores, a[15])

    return kernel
