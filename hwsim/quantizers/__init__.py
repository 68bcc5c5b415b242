"""Quantizers: how a range or a rounding is chosen.  A file defines `fit(values, scheme) -> (scale, zero_point)` per channel or tensor."""
