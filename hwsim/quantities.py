"""Fields of a chip that are printed with their unit, as pydantic reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from hwsim import units
from hwsim.errors import HwsimError

__all__ = ["Area", "Bandwidth", "Count", "Duration", "Energy", "EnergyPerBit", "Frequency", "Length", "Power", "Size", "Voltage"]


@dataclass(frozen=True)
class _Printed:
    """A field that is printed with its unit: how it is read, and an example."""

    parse: Callable[[Any], Any]
    example: str

    def __get_pydantic_core_schema__(self, held: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(held))

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: Any) -> dict[str, Any]:
        return {"type": "string", "examples": [self.example]}

    def _read(self, value: Any) -> Any:
        try:
            return self.parse(value)
        except HwsimError as e:
            raise ValueError(str(e).removeprefix(": ")) from None


def _in(dimension: str) -> Callable[[Any], float]:
    return lambda text: units.parse(text, dimension)


def _some(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A quantity by which something is divided, or in which something must fit: more than nothing."""

    def read(text: Any) -> Any:
        value = parse(text)
        if not (value.amount if isinstance(value, units.Rate) else value) > 0:
            raise HwsimError("", "must be more than 0", repr(text))
        return value

    return read


Area = Annotated[float, _Printed(_in("area"), "282 um2")]
Size = Annotated[int, _Printed(_some(lambda t: round(units.parse(t, "size"))), "512 KiB")]
Frequency = Annotated[float, _Printed(_some(_in("frequency")), "1.2 GHz")]
Energy = Annotated[float, _Printed(_in("energy"), "0.2 pJ")]
EnergyPerBit = Annotated[float, _Printed(_in("energy_per_bit"), "15 pJ/bit")]
Power = Annotated[float, _Printed(_in("power"), "2.5 W")]
Voltage = Annotated[float, _Printed(_some(_in("voltage")), "0.9 V")]
Length = Annotated[float, _Printed(_some(_in("length")), "45 nm")]
Bandwidth = Annotated[units.Rate, _Printed(_some(lambda t: units.parse_rate(t, "bits")), "64 B/cycle")]
Count = Annotated[units.Rate, _Printed(_some(lambda t: units.parse_rate(t, "count")), "128 /cycle")]
Duration = Annotated[units.Rate, _Printed(units.parse_duration, "20 us")]
