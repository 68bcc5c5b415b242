"""How convolutions and matrix products become calls of kernels: one description, several routes, the first that fits takes it.

An operator describes itself as a `Mac` (a convolution between two planes; a matrix product is one of a single row) and calls
`emit_mac`.  A *route* is a function (Mac, Desk) -> bool in a file of its own, listed in ROUTES from the most special to the most
general: it looks at widths, accumulator and shape, packs the weights for its micro-kernel, hands its calls to the desk and answers
True; or answers False before it has touched the desk.

To plug in a width or an accumulator:

* a new product in registers is a `kernels.dots.Dot` (how activations and weights are stored, one step of the inner loop) and a
  route that calls `_route_tiles.emit_tiles(mac, desk, dot, weights, pack)`: loops, tables, tile sizes, packing and the fused way
  out come with it;
* what happens behind the sum is `_mac_plan.way_out`: a `kernels.finishing.Way` (the arithmetic's own `requantize`, written once for
  both executors and fused into any kernel) and its arguments; `_mac_plan.finishing_of` is the same as a kernel of its own, for
  kernels that keep sums in memory;
* sums that may leave 32 bits, saturate on the way or count overflows: `Mac.exact_in(bits)` proves that they do not; else a
  `kernels.cutting.Cut` takes the place of the plain sum (`_route_cut`), and what no cut does is done product by product
  (`_route_steps`).

Activations lie in memory as unsigned bytes (q - x.bias) or signed words, channels last, with a halo of zero points as wide as the
windows that read them need; weights come as the numbers of the file.
"""

from __future__ import annotations

from collections.abc import Callable

from hwsim.ops._lowering import Desk
from hwsim.ops._mac_plan import Mac
from hwsim.ops._route_amx import amx
from hwsim.ops._route_bits import bits
from hwsim.ops._route_cut import cut
from hwsim.ops._route_deep import deep
from hwsim.ops._route_depthwise import by_channel
from hwsim.ops._route_packed import packed
from hwsim.ops._route_raw import raw
from hwsim.ops._route_steps import steps
from hwsim.ops._route_tiles import tiles
from hwsim.ops._route_wide import wide

__all__ = ["ROUTES", "emit_mac"]

ROUTES: tuple[Callable[[Mac, Desk], bool], ...] = (bits, packed, by_channel, amx, raw, tiles, cut, deep, wide, steps)


def emit_mac(mac: Mac, desk: Desk) -> bool:
    """Whether a kernel takes it; one of the routes takes every convolution of 8- and 16-bit activations."""
    return any(route(mac, desk) for route in ROUTES)
