"""Quantizers: `fit` (from values to scale and zero point), `round_weights` (stored weights that solve a layer's problem), `approximate`
(weights on levels of a quantizer's own) or `split` (of channels).  `NEEDS` says what hardware a file asks for beside plain integers.
"""
