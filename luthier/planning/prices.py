"""price.toml: what an hour of a machine costs, each price with its date and its source. Nothing is fetched."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from luthier.errors import SettingsError
from luthier.settings import Settings, settings_from

OWN = "price.toml"  # in the folder where the command runs; it replaces the one that ships
SHIPPED = Path(__file__).parent / "price.toml"


class Price(Settings):
    """One machine for rent."""

    device: str = Field(description="a device of the table in planning/devices.py")
    devices: int = Field(1, ge=1, description="how many of them the machine has")
    dollars: float = Field(gt=0, description="US dollars an hour")
    date: str = Field(description="when the price was published, such as 2025-01")
    source: str = Field(description="where it was published")


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
        tables = tomllib.loads(chosen.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{chosen}: cannot be read ({error.strerror}); check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{chosen}: this is not TOML ({error}); mend that line") from None
    machines = {
        name: settings_from(Price, table if isinstance(table, dict) else {}, f"{chosen}: [{name}]")
        for name, table in tables.items()
    }
    return Prices(chosen, machines)


def dollars(seconds: float, price: Price, devices: int = 1) -> float:
    """US dollars of `seconds` on `devices` devices: machines are rented whole, as many as hold them."""
    return seconds / 3600 * price.dollars * math.ceil(devices / price.devices)
