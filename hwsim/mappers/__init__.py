"""Mappers: how tiles of a layer are chosen for the memories between which it moves.

A file defines `propose(problem, levels, objective) -> Iterator[chain]`: a chain holds one Tiling per level, from the farthest
memories inward, each a tile of the one before; what is proposed is priced by the ordinary model, and the best by the objective
(`latency`, `energy` or `edp`) is taken.
"""
