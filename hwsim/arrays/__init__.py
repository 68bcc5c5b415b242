"""Arrays: how multipliers work together on a layer, one kind of array a file.

A file defines `work(array, layer, clock_hz) -> Work`: cycles, slots, and what the array reads and writes at the nearest memories, as
closed forms.  Operand widths reach it as `layer.rate`, MACs per multiplier and cycle at the precision that the array really runs
(native, composed, serial or promoted: `hwsim.steps.place.carry`).
"""
