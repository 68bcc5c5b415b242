"""Mappers: how a layer is laid out in the memories between which it moves.

A file defines `propose(problem, levels, objective) -> Iterator[chain]`: a chain holds one Tiling per level, from the farthest
memories inward, each a tile of the one before; what is proposed is priced by the ordinary model, and the best by the objective
(`latency`, `energy` or `edp`) is taken.  Or it defines `lay_out(layer, arch, given) -> Mapping`, as a chip's own compiler does the
whole layer at once; `given` are parts of the layer's mapping that are known.
"""
