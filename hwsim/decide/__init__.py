"""Deciding: what layers cost at every width, how much accuracy each width loses, the search for the best widths, and sweeps."""
