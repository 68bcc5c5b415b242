"""The door to pyarrow: tables as Parquet files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from hwsim.errors import HwsimError

__all__ = ["to_parquet"]


def to_parquet(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """A Parquet file's bytes.  Raises HwsimError when pyarrow is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise HwsimError("--export parquet", "must have pyarrow", "an environment without it", "pip install 'hwsim[parquet]'") from None
    data = {name: list(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)} if rows else {c: [] for c in columns}
    out = io.BytesIO()
    pq.write_table(pa.table(data), out)
    return out.getvalue()
