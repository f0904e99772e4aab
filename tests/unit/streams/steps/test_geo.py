"""Country and network out of MMDB files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from streams.steps.geo import NOWHERE, Geo, GeoFileError, Place


def written(path: Path, networks: Mapping[str, Any], version: int = 6) -> str:
    """Write an MMDB of ``networks`` and return its path."""
    writer = MMDBWriter(ip_version=version, ipv4_compatible=version == 6, database_type="Test")
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return str(path)


@pytest.fixture
def geo(tmp_path: Path) -> Iterator[Geo]:
    country = {
        "192.0.2.0/24": {"country": {"iso_code": "DE"}, "city": {"names": {"en": "Berlin"}}},
        "198.51.100.0/24": {"continent": {"code": "EU"}},
        "203.0.113.0/24": {"country": "text"},
        "2001:db8::/32": {"country": {"iso_code": "FR"}},
    }
    asn = {
        "192.0.2.0/24": {"autonomous_system_number": 64500, "autonomous_system_organization": "Example Net"}
    }
    opened = Geo.open(written(tmp_path / "country.mmdb", country), written(tmp_path / "asn.mmdb", asn))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("ip", "place"),
    [
        ("192.0.2.0", Place("DE", "Example Net")),
        ("192.0.2.255", Place("DE", "Example Net")),
        ("192.0.3.0", NOWHERE),
        ("198.51.100.7", NOWHERE),
        ("203.0.113.1", NOWHERE),
        ("2001:db8:1::", Place("FR", "")),
        ("", NOWHERE),
        ("not an address", NOWHERE),
        ("192.0.2.0/24", NOWHERE),
    ],
)
def test_places(geo: Geo, ip: str, place: Place) -> None:
    assert geo.place_of(ip) == place


def test_a_file_without_addresses_of_the_longer_kind_knows_none(tmp_path: Path) -> None:
    geo = Geo.open(
        written(tmp_path / "four.mmdb", {"192.0.2.0/24": {"country": {"iso_code": "DE"}}}, version=4), ""
    )
    assert [geo.place_of(ip).country for ip in ("192.0.2.1", "2001:db8::1")] == ["DE", ""]
    geo.close()


def test_without_files_everything_is_nowhere() -> None:
    geo = Geo.open("", "")
    assert not geo
    assert geo.place_of("192.0.2.1") == NOWHERE


@pytest.mark.parametrize("content", [None, b"", b"no MMDB at all" * 100])
def test_a_bad_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GeoFileError, match=r"bad\.mmdb") as raised:
        Geo.open("", str(path))
    assert raised.value.path == str(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(GeoFileError):
        Geo.open(str(tmp_path), "")
