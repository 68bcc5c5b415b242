"""The door to labelled data: an .npz file with inputs `x` and labels or targets `y`."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwsim.errors import HwsimError, suggest
from hwsim.quant import Array

__all__ = ["Dataset", "load_dataset"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples along the first axis of `x`, and for each a label or a target in `y`."""

    name: str
    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)


def load_dataset(path: str | Path, limit: int | None = None, labels: bool = True) -> Dataset:
    """The dataset of a file, or its first `limit` samples; without `labels` only x is needed.

    Raises HwsimError that says what is wanted.
    """
    file = Path(path)
    wanted = "must be an .npz file with arrays x (samples first) and y (labels or targets)"
    try:
        with np.load(file, allow_pickle=False) as archive:
            missing = [k for k in ("x", "y")[: 2 if labels else 1] if k not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "no arrays"
                raise HwsimError(file, wanted, f"one with {found}", suggest(missing[0], archive.files) or "np.savez(path, x=inputs, y=labels)")
            x = archive["x"]
            y = archive["y"] if labels else np.zeros(len(x), np.int64)
    except OSError as e:
        raise HwsimError(file, wanted, e.strerror or str(e)) from None
    except (ValueError, zipfile.BadZipFile, EOFError, AttributeError, TypeError) as e:
        raise HwsimError(file, wanted, str(e).splitlines()[0] if str(e) else type(e).__name__) from None
    if x.ndim < 2 or len(x) != len(y) or len(x) == 0:
        raise HwsimError(file, "x and y must have the same number of samples, at least one", f"x {x.shape} and y {y.shape}")
    if x.dtype.kind not in "fiub" or y.dtype.kind not in "fiub":
        raise HwsimError(file, "x and y must be numbers", f"{x.dtype} and {y.dtype}")
    if limit is not None and limit < 1:
        raise HwsimError("samples", "must be at least 1", limit)
    return Dataset(file.stem, x[:limit], y[:limit])
