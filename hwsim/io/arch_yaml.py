"""The door to chips: YAML files read strictly, with file, line and column in every complaint."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import deepcopy
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from hwsim import formats
from hwsim.arch import Arch, parse_precision
from hwsim.area_table import AreaTable
from hwsim.energy_table import CostTable, Scaling
from hwsim.errors import HwsimError, suggest
from hwsim.io.files import read_whole
from hwsim.io.shipped import shipped_folder
from hwsim.shelf import names

__all__ = ["arch_path", "field_places", "load_arch", "load_areas", "load_costs", "load_scaling", "presets", "read_yaml", "schema"]

M = TypeVar("M", bound=BaseModel)
Where = dict[tuple[Any, ...], str]
LARGEST = 1 << 20
WORK = ("batch_norm", "copy", "group_norm", "interpolate", "layer_norm", "requantize", "response_norm", "rms_norm", "softmax", "unpack")


class _Loader(yaml.SafeLoader):
    """YAML 1.2 core scalars: `1e9` is a number, `on` and `010` are a string and ten.  Aliases, anchors and tags are refused."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        start: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, f"the alias '*{event.anchor}'; write it out", start)
        if getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(None, None, f"the anchor '&{event.anchor}'; leave it out", start)
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise yaml.composer.ComposerError(None, None, f"the tag '{tag}'; leave it out", start)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", r"^[-+]?[0-9]+$", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value.replace(".inf", "inf").replace(".nan", "nan")))


def presets() -> tuple[str, ...]:
    """The names of the chips that come with hwsim."""
    return tuple(sorted(p.stem for p in shipped_folder("archs").glob("*.yaml")))


def load_arch(name: str | Path, overrides: dict[str, str] | None = None) -> Arch:
    """A chip by a preset's name or a file's path; `overrides` sets fields by dotted path, checked by the same schema.

    Raises HwsimError with file, line and column for anything that the schema does not know.
    """
    path = arch_path(str(name))
    tree, where = read_yaml(path)
    for key, value in (overrides or {}).items():
        _override(tree, where, key, value)
    arch = _validated(Arch, tree, where, path)
    faults = [HwsimError(_place(where, path, at), must, found and repr(found), hint) for at, must, found, hint in _unknown_names(arch)]
    if faults:
        raise HwsimError.joined(faults)
    return arch


def field_places(path: Path) -> dict[str, tuple[int, int]]:
    """Line and column, from 0, of the key of every field of a chip's file, by dotted name."""
    found = {}
    for at, place in read_yaml(path)[1].items():
        line, column = place.split(":")[-2:]
        found[".".join(str(k) for k in at)] = int(line) - 1, int(column) - 1
    return found


def arch_path(name: str) -> Path:
    """The file of a preset or the path itself.  Raises HwsimError for neither."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.exists() and path.stem in presets():
            raise HwsimError(path, "must be a file that can be read", "a missing one", f"did you mean the preset '{path.stem}'?")
        return path
    if name not in presets():
        raise HwsimError("arch", f"must be a path to a YAML file or one of {', '.join(presets())}", repr(name), suggest(name, presets()))
    return shipped_folder("archs") / f"{name}.yaml"


Unknown = tuple[tuple[str, ...], str, str | None, str | None]


def _unknown_names(arch: Arch) -> Iterator[Unknown]:
    """Names that are on no shelf and in no table: the field, what it must be, what it is, and a hint."""
    operators, work = _vocabulary()
    rules, fusible = arch.quantization, (*operators, "bias")
    yield from _strangers(("mapper",), [arch.mapper], names("mappers"))
    for name, array in arch.arrays.items():
        yield from _strangers(("arrays", name, "kind"), [array.kind], names("arrays"))
        yield from _strangers(("arrays", name, "fuses"), array.fuses, fusible, "an operator such as add or relu, or bias")
    for name, unit in arch.vector.items():
        for rate in unit.rates:
            yield from _strangers(("vector", name, "rates", rate), [rate], work, "`default` or elementary work such as add or requantize")
        yield from _strangers(("vector", name, "fuses"), unit.fuses, fusible, "an operator such as relu or quantize, or bias")
        yield from _strangers(("vector", name, "runs"), unit.runs or (), work, "elementary work such as add, max or softmax")
    for op in arch.arithmetic.ops:
        yield from _strangers(("arithmetic", "ops", op), [op], operators, "an operator such as conv, add or softmax")
    yield from _strangers(("arithmetic", "default"), [arch.arithmetic.default], names("arithmetics"))
    for op, arithmetic in arch.arithmetic.ops.items():
        yield from _strangers(("arithmetic", "ops", op), [arithmetic], names("arithmetics"))
    yield from _strangers(("quantization", "same_scale"), rules.same_scale, operators, "an operator such as concat or max_pool")
    for kind, grid in (("weights", rules.weights), ("activations", rules.activations)):
        yield from (((("quantization", kind, "formats")), must, found, hint) for f in grid.formats for must, found, hint in _no_integer(f))
    yield from _strangers(("energy", "table"), [arch.energy.table], cost_tables())
    if arch.energy.table in cost_tables():
        yield from _unpriced(arch)


def _strangers(at: tuple[str, ...], found: Iterable[str], known: Collection[str], wanted: str = "") -> Iterator[Unknown]:
    for name in found:
        if name not in known:
            yield at, f"must be {wanted or 'one of ' + ', '.join(known)}", name, suggest(name, known)


def _vocabulary() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a chip file may call an operator, and what it may call the elementary work of a vector unit."""
    from hwsim.ops import binary, reduce, unary

    elementwise = {*unary.FUNCTIONS, *binary.FUNCTIONS}
    return tuple(sorted({*names("ops"), *elementwise, *reduce.FUNCTIONS})), tuple(sorted(elementwise | {"default", *WORK}))


def _no_integer(name: str) -> Iterator[tuple[str, str, str | None]]:
    try:
        known = formats.get(name).is_integer
    except HwsimError:
        known = False
    if not known:
        usual = [f"{sign}int{bits}" for sign in ("", "u") for bits in (2, 4, 8, 16)]
        yield "must be an integer format such as int8 or uint4", name, suggest(name, usual)


def _unpriced(arch: Arch) -> Iterator[Unknown]:
    """Memories and precisions for which neither the chip nor its cost table has an energy."""
    table = load_costs(arch.energy.table)
    for name, m in arch.memories.items():
        if m.kind is not None:
            yield from _strangers(("memories", name, "kind"), [m.kind], tuple(table.off_chip.prices))
        elif m.size is None and (m.read_energy is None or m.write_energy is None):
            yield ("memories", name), "must have a `size`, a `kind` or both `read_energy` and `write_energy`, to be priced", None, None
    for name, array in arch.arrays.items():
        reals = {str(p): r for r in array.rates for p in parse_precision(r) if isinstance(p, str)}
        yield from (
            (("arrays", name, "rates", reals[p]), f"must have an energy in the cost table {table.name}", p, None)
            for p in reals
            if p not in table.floats.multiply
        )


def cost_tables() -> tuple[str, ...]:
    """The technologies whose energies come with hwsim."""
    return tuple(sorted(p.stem for p in (shipped_folder("archs") / "costs").glob("*.yaml")))


@cache
def load_costs(name: str) -> CostTable:
    """The energy table of a technology: a file of archs/costs/."""
    if name not in cost_tables():
        raise HwsimError("energy.table", f"must be one of {', '.join(cost_tables())}", repr(name), suggest(name, cost_tables()))
    path = shipped_folder("archs") / "costs" / f"{name}.yaml"
    return _validated(CostTable, *read_yaml(path), path)


@cache
def load_scaling(name: str = "stillmaker_baas_2017") -> Scaling:
    """How energies scale between process nodes and supplies."""
    path = shipped_folder("archs") / "costs" / "scaling" / f"{name}.yaml"
    return _validated(Scaling, *read_yaml(path), path)


@cache
def load_areas(name: str = "cells_45nm") -> AreaTable:
    """Areas of cells and memories."""
    path = shipped_folder("archs") / "costs" / "area" / f"{name}.yaml"
    return _validated(AreaTable, *read_yaml(path), path)


def schema(kind: str) -> dict[str, Any]:
    """The JSON schema of `arch`, `costs`, `area` or `scaling` files."""
    models: dict[str, type[BaseModel]] = {"arch": Arch, "costs": CostTable, "area": AreaTable, "scaling": Scaling}
    if kind not in models:
        raise HwsimError("schema", f"must be one of {', '.join(models)}", repr(kind), suggest(kind, models))
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_draft7(models[kind].model_json_schema())}


def _draft7(tree: Any) -> Any:
    """Definitions where draft-07 editors look for them."""
    return json.loads(json.dumps(tree).replace("#/$defs/", "#/definitions/").replace('"$defs"', '"definitions"'))


def read_yaml(path: Path) -> tuple[dict[str, Any], Where]:
    """A file's mapping, and the place of every field in it.  Raises HwsimError for what is not plain YAML."""
    try:
        text = read_whole(path, LARGEST).decode()
    except UnicodeDecodeError as e:
        raise HwsimError(path, "must be UTF-8 text", f"the byte 0x{e.object[e.start]:02x} at {e.start}") from None
    tree, where = _read(text, str(path))
    return deepcopy(tree), dict(where)


@lru_cache(maxsize=64)
def _read(text: str, name: str) -> tuple[dict[str, Any], Where]:
    """The fields of a file's text and their places; a sweep reads the same chips again and again."""
    where: Where = {}
    tree = _tree(text, name, (), where)
    if not isinstance(tree, dict):
        found = "an empty file" if tree is None else "a list" if isinstance(tree, list) else repr(tree)
        raise HwsimError(name, "must hold a mapping of fields", found)
    return tree, where


def _tree(text: str, name: str, at: tuple[Any, ...], where: Where) -> Any:
    """The plain data of a text, with the place of every field noted."""
    try:
        node = yaml.compose(text, _Loader)
        return None if node is None else _construct(node, at, name, where)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark and not name.startswith("--set") else name
        problem = str(e.problem or e.context)
        if problem.startswith("the "):
            raise HwsimError(place, "must be plain YAML", *problem.split("; ")) from None
        raise HwsimError(place, "must be plain YAML", hint=f"{e.context}, {problem}" if problem.startswith("but ") else problem) from None
    except yaml.YAMLError as e:
        raise HwsimError(name, "must be plain YAML", hint=str(e).splitlines()[0]) from None
    except RecursionError:
        raise HwsimError(name, "must be nested less deeply") from None
    except ValueError:
        raise HwsimError(name, "must be plain YAML", "a number of thousands of digits") from None


def _construct(node: Any, at: tuple[Any, ...], name: str, where: Where) -> Any:
    """Plain data; duplicate keys and forgotten values are refused."""
    where.setdefault(at, _mark(node, name))
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key, mark = _key(key_node, name), _mark(key_node, name)
            if key in result:
                raise HwsimError(mark, f"the key '{key}' must stand once", f"again after line {where[(*at, key)].split(':')[-2]}")
            if isinstance(value_node, yaml.ScalarNode) and value_node.style is None and not value_node.value:
                raise HwsimError(mark, f"'{key}' must have a value", "nothing", "leave the key out for its default")
            where[(*at, key)] = mark
            result[key] = _construct(value_node, (*at, key), name, where)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(v, (*at, i), name, where) for i, v in enumerate(node.value)]
    return _scalar(node)


def _mark(node: Any, name: str) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _key(node: Any, name: str) -> str:
    key = _scalar(node) if isinstance(node, yaml.ScalarNode) else None
    if not isinstance(key, str):
        found = _shown(key) if isinstance(node, yaml.ScalarNode) else "a list or block"
        raise HwsimError(_mark(node, name), "a key must be a word", found)
    if key == "<<":
        raise HwsimError(_mark(node, name), "must be plain YAML", "the merge key '<<'", "write the fields out")
    return key


def _scalar(node: Any) -> Any:
    return _Loader("").construct_object(node)


def _override(tree: dict[str, Any], where: Where, key: str, text: str) -> None:
    """Set a dotted field; the value is read as YAML.  Blocks on the way must exist; the schema judges the rest."""
    keys, given = key.split("."), f"--set {key}={text}"
    place: Any = tree
    for i, k in enumerate(keys[:-1]):
        if not isinstance(place, dict) or k not in place:
            known = list(place) if isinstance(place, dict) else []
            raise HwsimError(given, f"'{'.'.join(keys[: i + 1])}' must exist in the chip", None, suggest(k, known))
        place = place[k]
    if not isinstance(place, dict):
        raise HwsimError(given, f"'{'.'.join(keys[:-1])}' must be a block of fields", repr(place))
    if not text.strip():
        raise HwsimError(given, "must have a value", "nothing", f"write {key}=null for no value")
    place[keys[-1]] = _tree(text, given, tuple(keys), {})
    for old in [at for at in where if at[: len(keys)] == tuple(keys)]:
        del where[old]
    where[tuple(keys)] = given


def _validated(model: type[M], tree: dict[str, Any], where: Where, path: Path) -> M:
    try:
        return model.model_validate(tree)
    except ValidationError as e:
        raise HwsimError.joined([_complaint(model, err, where, path) for err in _without_misspelt(e.errors())]) from None


def _without_misspelt(errors: Sequence[Any]) -> list[Any]:
    """The errors without those of missing fields whose misspelt names are complained about anyway."""
    extra = [e["loc"] for e in errors if e["type"] == "extra_forbidden"]
    named = {(*x[:-1], e["loc"][-1]) for x in extra for e in errors if suggest(str(x[-1]), [str(e["loc"][-1])])}
    return [e for e in errors if e["type"] != "missing" or e["loc"] not in named]


def _place(where: Where, path: Path, at: tuple[Any, ...]) -> str:
    """A field with the nearest place that the file has."""
    known = at
    while known and known not in where:
        known = known[:-1]
    mark = where.get(known, str(path))
    return mark if mark.startswith("--set") else f"{mark} {'.'.join(str(k) for k in at)}".strip()


def _complaint(model: type[BaseModel], error: Any, where: Where, path: Path) -> HwsimError:
    """One pydantic error in hwsim's form."""
    at = tuple(k for k in error["loc"] if k != "[key]")
    place, kind, found = _place(where, path, at), error["type"], error.get("input")
    if kind == "extra_forbidden":
        fields = _fields_at(model, at[:-1])
        return HwsimError(place, f"must be one of {', '.join(fields)}", f"'{at[-1]}'", suggest(str(at[-1]), fields))
    if kind == "missing":
        return HwsimError(place, "must be given")
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error":
        return HwsimError(place, message)
    shown = at[-1] if error["loc"][-1] == "[key]" else found
    hint = suggest(str(shown), re.findall("'([^']+)'", message)) if kind == "literal_error" else None
    return HwsimError(place, f"must be {_WANTED.get(kind) or message}", _shown(shown), hint)


_WANTED = {
    "model_type": "a block of fields",
    "dict_type": "a block of fields",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "string_pattern_mismatch": "lower-case letters, digits and underscores",
    "too_short": "at least one entry long",
}


def _shown(found: Any) -> str:
    """A value as it stands in a complaint."""
    if isinstance(found, dict | list):
        return "a block of fields" if isinstance(found, dict) else f"a list of {len(found)}"
    text = json.dumps(found) if found is None or isinstance(found, bool) else repr(found)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fields_at(model: type[BaseModel], at: tuple[Any, ...]) -> list[str]:
    """The fields that may stand in the block at a place."""
    current: Any = model
    for key in at:
        fields = getattr(current, "model_fields", {})
        current = _inner(fields[key].annotation if key in fields else current)
    return list(getattr(current, "model_fields", {}))


def _inner(annotation: Any) -> Any:
    """The model inside `dict[str, X]`, `list[X]` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for a in reversed(getattr(annotation, "__args__", ())):
        found = _inner(a)
        if found is not None:
            return found
    return None
