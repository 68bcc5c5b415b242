"""Validations: the model held against one outside source each.

A file defines `TITLE`, `KIND` (silicon, simulator or vendor's estimator), `SOURCE`, and `figures(tables) -> Iterable[Figure]`: chips
and networks go through `hwsim.simulate.price` as a user's do.  Small tables of outside figures lie in reports/validation/, one CSV
each; large ones stay with their owners, and `tables.peer(name)` is None where the user has none.
"""
