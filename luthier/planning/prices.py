"""price.toml: what an hour of a machine costs, each price with its date and its source. Nothing is fetched."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, field_validator

from luthier.errors import SettingsError
from luthier.planning.devices import DEVICES, HERE
from luthier.settings import Settings, settings_from

OWN = "price.toml"  # in the folder where the command runs; it replaces the one that ships
MOST = 1_000_000  # devices of a machine, and dollars: more than anybody has
SHIPPED = Path(__file__).parent / "price.toml"


class Price(Settings):
    """One machine for rent."""

    device: str = Field(description="a device of the table in planning/devices.py")
    devices: int = Field(1, ge=1, le=MOST, description="how many of them the machine has")
    dollars: float = Field(gt=0, le=MOST, description="US dollars an hour")
    date: str = Field(description="when the price was published, such as 2025-01")
    source: str = Field(min_length=1, description="where it was published")

    @field_validator("device")
    @classmethod
    def _is_listed(cls, device: str) -> str:
        if device.lower() not in (*DEVICES, HERE):
            raise ValueError(f"'{device}' is no device of the table; there are: {HERE}, {', '.join(DEVICES)}")
        return device.lower()

    @field_validator("date")
    @classmethod
    def _is_a_month(cls, date: str) -> str:
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])(-\d\d)?", date):
            raise ValueError(f"'{date}' is no month; write one such as 2025-01")
        return date


@dataclass(frozen=True)
class Prices:
    """Machine -> price, and the file that says so."""

    path: Path
    machines: dict[str, Price]

    def of_device(self, device: str) -> dict[str, Price]:
        """The machines with this device, cheapest an hour first."""
        fitting = {name: price for name, price in self.machines.items() if price.device == device}
        return dict(sorted(fitting.items(), key=lambda item: (item[1].dollars, item[0])))


def read_prices(path: Path | None = None) -> Prices:
    """The prices of `path`, else of price.toml here, else those that ship. Raises SettingsError for a wrong file."""
    chosen = path or (Path(OWN) if Path(OWN).exists() else SHIPPED)
    try:
        tables = tomllib.loads(chosen.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{chosen}: cannot be read ({error.strerror}); check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{chosen}: this is not TOML ({error}); mend that line") from None
    if loose := [name for name, table in tables.items() if not isinstance(table, dict)]:
        raise SettingsError(f"{chosen}: '{loose[0]}' is no table; write [{loose[0]}], and its price below")
    machines = {name: settings_from(Price, table, f"{chosen}: [{name}]") for name, table in tables.items()}
    return Prices(chosen, machines)


def dollars(seconds: float, price: Price, devices: int = 1) -> float:
    """US dollars of `seconds` on `devices` devices: machines are rented whole, as many as hold them."""
    return seconds / 3600 * price.dollars * math.ceil(devices / price.devices)
