"""Searches: ways to choose the bits of every layer.

A file defines `search(problem, seed) -> choices`, an (n, variables) array of assignments within the limits, the best first, and
empty when there is none; `EXACT` says whether the first is proven to be the best of all.
"""
