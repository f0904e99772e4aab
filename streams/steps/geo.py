"""Country and network of an address, from MMDB files that the user names (docs/rules.md, section 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import maxminddb


class GeoFileError(Exception):
    """A file named as an MMDB cannot be read as one."""

    def __init__(self, path: str, cause: Exception) -> None:
        super().__init__(f"{path}: cannot be read as an MMDB file: {cause}")
        self.path = path


class Place(NamedTuple):
    """Country (ISO 3166-1 alpha-2) and network (owner of the autonomous system); empty where unknown."""

    country: str
    network: str


NOWHERE = Place("", "")


@dataclass(frozen=True, slots=True)
class Geo:
    """Open databases; None where the user named none."""

    country: maxminddb.Reader | None = None
    asn: maxminddb.Reader | None = None

    @classmethod
    def open(cls, country_path: str, asn_path: str) -> Self:
        """Open the files named (none for an empty path). Raises GeoFileError."""
        return cls(_opened(country_path), _opened(asn_path))

    def __bool__(self) -> bool:
        return self.country is not None or self.asn is not None

    def place_of(self, ip: str) -> Place:
        """Look up one address; what is no address is nowhere."""
        country = _record(self.country, ip).get("country")
        code = country.get("iso_code") if isinstance(country, dict) else None
        owner = _record(self.asn, ip).get("autonomous_system_organization")
        return Place(code if isinstance(code, str) else "", owner if isinstance(owner, str) else "")

    def close(self) -> None:
        """Close the files."""
        for reader in (self.country, self.asn):
            if reader is not None:
                reader.close()


def _opened(path: str) -> maxminddb.Reader | None:
    if not path:
        return None
    try:
        return maxminddb.open_database(path)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise GeoFileError(path, error) from error


def _record(reader: maxminddb.Reader | None, ip: str) -> Mapping[str, Any]:
    if reader is None:
        return {}
    try:
        record = reader.get(ip)
    except ValueError:
        # No address, or one of a family that the file does not cover.
        return {}
    return record if isinstance(record, dict) else {}
