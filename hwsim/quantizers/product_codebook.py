"""Product quantization: pieces of d weights by their nearest of 2^(bits d) centroids, at most 256 (Gong et al. 2014; Q66)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers import kmeans
from hwsim.quantizers._levels import Approximation

__all__ = ["NEEDS", "approximate", "centroids_of"]

NEEDS = "an index for each piece of weights and a codebook of vectors for each layer"
ROUNDS, LARGEST = 30, 256


def approximate(values: Array, bits: int, length: int = 2) -> Approximation:
    """Pieces of `length` along a row, the last one filled with zeros; one weight to a piece is k-means."""
    if length == 1:
        return kmeans.approximate(values, bits)
    rows, n = values.shape
    pieces = np.pad(values, ((0, 0), (0, -n % length))).reshape(-1, length)
    centroids, index = centroids_of(pieces, min(2 ** (bits * length), LARGEST, len(pieces)))
    return Approximation(centroids[index].reshape(rows, -1)[:, :n])


def centroids_of(pieces: Array, count: int, seed: int = 0) -> tuple[Array, Array]:
    """Centroids and each piece's index by Lloyd's algorithm from a random draw; the squared distance never grows."""
    rng = np.random.default_rng(seed)
    centroids = pieces[rng.choice(len(pieces), count, replace=False)].astype(np.float64)
    index = _nearest(pieces, centroids)
    for _ in range(ROUNDS):
        members = np.bincount(index, minlength=count)
        sums = np.stack([np.bincount(index, pieces[:, j], count) for j in range(pieces.shape[1])], 1)
        centroids = np.where(members[:, None] > 0, sums / np.maximum(members, 1)[:, None], centroids)
        found = _nearest(pieces, centroids)
        if (found == index).all():
            break
        index = found
    return centroids, index


def _nearest(pieces: Array, centroids: Array) -> Array:
    distance = np.square(centroids).sum(1) - 2 * pieces @ centroids.T
    return distance.argmin(1)
