"""The door to chips: YAML files read strictly, with file, line and column in every complaint."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from hwsim.arch import Arch, CostTable, Scaling
from hwsim.errors import HwsimError, suggest

__all__ = ["load_arch", "load_costs", "load_scaling", "preset_folder", "presets", "schema"]

M = TypeVar("M", bound=BaseModel)
Where = dict[tuple[Any, ...], str]


class _Loader(yaml.SafeLoader):
    """YAML 1.2 core scalars: `1e9` is a number, `on` and `010` are a string and ten."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("tag:yaml.org,2002:float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$",
     "-+.0123456789"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(str(loader.construct_scalar(node)).replace(".inf", "inf").replace(".nan", "nan")))


def preset_folder() -> Path:
    """Where the chips that come with hwsim lie: in the wheel beside the package, in a checkout at the top."""
    inside = Path(__file__).resolve().parent.parent / "archs"
    return inside if inside.is_dir() else inside.parent.parent / "archs"


def presets() -> tuple[str, ...]:
    """The names of the chips that come with hwsim."""
    return tuple(sorted(p.stem for p in preset_folder().glob("*.yaml")))


def load_arch(name: str | Path, overrides: dict[str, str] | None = None) -> Arch:
    """A chip by a preset's name or a file's path; `overrides` sets fields by dotted path, checked by the same schema.

    Raises HwsimError with file, line and column for anything that the schema does not know.
    """
    path = _arch_path(str(name))
    tree, where = _parse(path)
    for key, value in (overrides or {}).items():
        _override(tree, where, key, value)
    arch = _validated(Arch, tree, where, path)
    load_costs(arch.energy.table)
    return arch


def _arch_path(name: str) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    preset = preset_folder() / f"{name}.yaml"
    if not preset.is_file():
        raise HwsimError("arch", f"must be a path to a YAML file or one of {', '.join(presets())}", repr(name), suggest(name, presets()))
    return preset


@cache
def load_costs(name: str) -> CostTable:
    """The energy table of a technology: a file of archs/costs/."""
    folder = preset_folder() / "costs"
    known = sorted(p.stem for p in folder.glob("*.yaml"))
    if name not in known:
        raise HwsimError("energy.table", f"must be one of {', '.join(known)}", repr(name), suggest(name, known))
    tree, where = _parse(folder / f"{name}.yaml")
    return _validated(CostTable, tree, where, folder / f"{name}.yaml")


@cache
def load_scaling(name: str = "stillmaker_baas_2017") -> Scaling:
    """How energies scale between process nodes and supplies."""
    path = preset_folder() / "costs" / "scaling" / f"{name}.yaml"
    tree, where = _parse(path)
    return _validated(Scaling, tree, where, path)


def schema(kind: str) -> dict[str, Any]:
    """The JSON schema of `arch`, `costs` or `scaling` files."""
    models: dict[str, type[BaseModel]] = {"arch": Arch, "costs": CostTable, "scaling": Scaling}
    if kind not in models:
        raise HwsimError("schema", f"must be one of {', '.join(models)}", repr(kind), suggest(kind, models))
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_draft7(models[kind].model_json_schema())}


def _draft7(tree: Any) -> Any:
    """Definitions where draft-07 editors look for them."""
    return json.loads(json.dumps(tree).replace("#/$defs/", "#/definitions/").replace('"$defs"', '"definitions"'))


def _parse(path: Path) -> tuple[dict[str, Any], Where]:
    try:
        text = path.read_text("utf-8")
        node = yaml.compose(text, _Loader)
    except OSError as e:
        raise HwsimError(path, "must be a file that can be read", e.strerror or str(e)) from None
    except UnicodeDecodeError:
        raise HwsimError(path, "must be UTF-8 text") from None
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark
        at = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise HwsimError(at, "must be YAML", f"{e.problem or e.context}") from None
    if not isinstance(node, yaml.MappingNode):
        raise HwsimError(path, "must hold a mapping of fields", "an empty file" if node is None else node.tag.rpartition(":")[2])
    where: Where = {}
    return _construct(node, (), path, where), where


def _construct(node: Any, at: tuple[Any, ...], path: Path, where: Where) -> Any:
    """Plain data, with the place of every field noted and duplicate keys refused."""
    mark = f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
    where.setdefault(at, mark)
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = _Loader("").construct_object(key_node)
            key_mark = f"{path}:{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}"
            if not isinstance(key, str):
                raise HwsimError(key_mark, "a key must be a word", repr(key))
            if key in result:
                raise HwsimError(key_mark, f"the key '{key}' must stand once", f"again after line {where[(*at, key)].split(':')[-2]}")
            where[(*at, key)] = key_mark
            result[key] = _construct(value_node, (*at, key), path, where)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(v, (*at, i), path, where) for i, v in enumerate(node.value)]
    return _Loader("").construct_object(node)


def _override(tree: dict[str, Any], where: Where, key: str, text: str) -> None:
    """Set a dotted field; the value is read as YAML.  Blocks on the way must exist; the schema judges the rest."""
    keys = key.split(".")
    place: Any = tree
    for i, k in enumerate(keys[:-1]):
        if not isinstance(place, dict) or k not in place:
            known = list(place) if isinstance(place, dict) else []
            raise HwsimError(f"--set {key}", f"'{'.'.join(keys[: i + 1])}' must exist in the chip", None, suggest(k, known))
        place = place[k]
    if not isinstance(place, dict):
        raise HwsimError(f"--set {key}", f"'{'.'.join(keys[:-1])}' must be a block of fields", repr(place))
    node = yaml.compose(text, _Loader)
    place[keys[-1]] = _construct(node, tuple(keys), Path("--set"), {}) if node is not None else None
    where[tuple(keys)] = f"--set {key}={text}"


def _validated(model: type[M], tree: dict[str, Any], where: Where, path: Path) -> M:
    try:
        return model.model_validate(tree)
    except ValidationError as e:
        raise HwsimError.joined([_complaint(model, err, where, path) for err in e.errors()]) from None


def _complaint(model: type[BaseModel], error: Any, where: Where, path: Path) -> HwsimError:
    """One pydantic error in hwsim's form, with the nearest place that the file has."""
    at = tuple(k for k in error["loc"] if k != "[key]")
    known = at
    while known and known not in where:
        known = known[:-1]
    dotted = ".".join(str(k) for k in at)
    mark = where.get(known, str(path))
    place = mark if mark.startswith("--set") else f"{mark} {dotted}".strip()
    kind, found = error["type"], error.get("input")
    if kind == "extra_forbidden":
        fields = _fields_at(model, at[:-1])
        return HwsimError(place, f"must be one of {', '.join(fields)}", f"'{at[-1]}'", suggest(str(at[-1]), fields))
    if kind == "missing":
        return HwsimError(place, "must be given")
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error":
        return HwsimError(place, message)
    return HwsimError(place, f"must be {message}", repr(found))


def _fields_at(model: type[BaseModel], at: tuple[Any, ...]) -> list[str]:
    """The fields that may stand in the block at a place."""
    current: Any = model
    for key in at:
        annotation = current.model_fields[key].annotation if isinstance(current, type) and key in getattr(current, "model_fields", {}) else current
        current = _inner(annotation)
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
