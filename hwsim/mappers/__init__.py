"""Mappers: how tiles of a layer are chosen for one level of memories.

A file defines `tile(problem, capacities, buffers) -> Tiling`: `capacities` maps a tuple of operands that share a memory to its
size in bits (None: unlimited), `buffers` gives how many copies of a tile each operand keeps (2 when double-buffered).
"""
