"""Encodings in AIMET's JSON: written as version 1.0.0, read as 1.0.0 or 0.6.1 (AIMET's encoding format specification)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.encodings import Encoding, Encodings
from hwsim.errors import HwsimError
from hwsim.io.files import read_whole, write_whole

__all__ = ["read_encodings", "write_encodings"]

LARGEST = 1 << 30
VERSIONS = ("1.0.0", "0.6.1")


def write_encodings(found: Encodings, path: Path) -> None:
    """Write encodings, completely or not at all.  Raises HwsimError when the folder cannot be written."""
    page = {
        "version": VERSIONS[0],
        "activation_encodings": [_entry(name, e) for name, e in found.activations.items()],
        "param_encodings": [_entry(name, e) for name, e in found.weights.items()],
        "excluded_layers": [],
        "producer": "hwsim",
    }
    write_whole(path, json.dumps(page, indent=1).encode())


def _entry(name: str, e: Encoding) -> dict[str, Any]:
    kind = "PER_TENSOR" if len(e.scale) == 1 else "PER_CHANNEL"
    numbers = {"scale": [float(s) for s in e.scale], "offset": [int(o) for o in e.offset]}
    return {"name": name, "enc_type": kind, "dtype": "INT", "bw": e.bits, "is_sym": e.symmetric, **numbers}


def read_encodings(path: Path) -> Encodings:
    """The encodings of a file.  Raises HwsimError for another kind of file, and for what is no integer per tensor or channel."""
    try:
        page = json.loads(read_whole(path, LARGEST))
        version = str(page["version"])
        groups = page["activation_encodings"], page["param_encodings"]
    except (ValueError, KeyError, TypeError) as e:
        raise HwsimError(path, "must be AIMET's encodings in JSON", str(e)) from None
    if version not in VERSIONS:
        raise HwsimError(path, f"version must be {' or '.join(VERSIONS)}", version)
    listed = _listed if version == VERSIONS[0] else _named
    return Encodings(*({name: _read(name, parts, path) for name, parts in listed(g)} for g in groups))


def _listed(group: Any) -> Iterable[tuple[str, list[Mapping[str, Any]]]]:
    """Version 1.0.0: a list of entries with numbers for all channels, as one entry a channel."""
    for e in group:
        plain = {"bitwidth": e.get("bw"), "dtype": e.get("dtype"), "is_symmetric": e.get("is_sym"), "kind": e.get("enc_type")}
        scales = e.get("scale", ())
        yield (
            e.get("name", ""),
            [{**plain, "scale": s, "offset": o} for s, o in zip(scales, e.get("offset", [None] * len(scales)), strict=False)],
        )


def _named(group: Any) -> Iterable[tuple[str, list[Mapping[str, Any]]]]:
    """Version 0.6.1: a mapping to a list of one entry a channel."""
    return group.items()


def _read(name: str, parts: list[Mapping[str, Any]], path: Path) -> Encoding:
    where = f"{path}: '{name}'"
    kinds = {(str(p.get("dtype", "int")).lower(), str(p.get("kind", "PER_CHANNEL"))) for p in parts}
    if not parts or any(d != "int" or k not in ("PER_TENSOR", "PER_CHANNEL") for d, k in kinds):
        raise HwsimError(where, "must be integers with one scale for the tensor or for each channel", sorted(kinds))
    try:
        bits = {int(p["bitwidth"]) for p in parts}
        scale, offset = (np.array([float(p[k]) for p in parts]) for k in ("scale", "offset"))
    except (KeyError, TypeError, ValueError) as e:
        raise HwsimError(where, "must have bit-width, scale and offset", str(e)) from None
    if len(bits) != 1 or not (scale > 0).all() or not np.isfinite(scale).all() or (offset != np.rint(offset)).any():
        raise HwsimError(where, "must have one bit-width, scales above 0 and whole offsets", parts[0])
    return Encoding(bits.pop(), scale, offset.astype(np.int64), str(parts[0].get("is_symmetric")).lower() == "true")
