"""Quantizers: from a range of real numbers to scale and zero point.  A file defines `fit` with the signature of minmax's."""
