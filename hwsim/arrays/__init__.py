"""Arrays: how multipliers work together on a layer, one kind of array a file.

A file defines `work(array, layer, clock_hz) -> Work`: cycles, slots, and what the array reads and writes at the nearest memories, as
closed forms.  One that can lay a layer out in several ways may define `options(array, layer, clock_hz) -> list[Work]`, the fastest
first, for mappers that search.  Operand widths reach it as `layer.rate`, MACs per multiplier and cycle at the precision that the
array really runs (native, composed, serial or promoted: `hwsim.steps.place.carry`).
"""
