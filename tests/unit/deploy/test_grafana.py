"""Grafana's files are what the code makes, and they fit together."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.grafana.__main__ import FOLDER, rendered

PROVISIONING = FOLDER.with_name("provisioning")
DASHBOARDS = dict(rendered())


def panels(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield all panels of a dashboard but its rows."""
    yield from (panel for panel in json.loads(text)["panels"] if panel["type"] != "row")


def test_there_are_three() -> None:
    assert list(DASHBOARDS) == ["funnel-business.json", "funnel-pipeline.json", "funnel-collector.json"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_what_is_checked_in_is_what_the_code_makes(name: str) -> None:
    assert (FOLDER / name).read_text() == DASHBOARDS[name], "run: python -m deploy.grafana"


def test_nothing_else_is_checked_in() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_it_shows_and_asks_a_source_that_is_provisioned(name: str) -> None:
    sources = YAML(typ="safe").load((PROVISIONING / "datasources" / "funnel.yml").read_text())["datasources"]
    known = {(source["type"], source["uid"]) for source in sources}
    titles = [panel["title"] for panel in panels(DASHBOARDS[name])]
    assert titles
    for panel in panels(DASHBOARDS[name]):
        assert panel["title"]
        assert panel["description"]
        for asked in (panel, *panel["targets"]):
            assert (asked["datasource"]["type"], asked["datasource"]["uid"]) in known


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_the_grid_and_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARDS[name])["panels"]:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(column for column, _ in cells) < 24
        taken |= cells


def test_no_secret_is_provisioned() -> None:
    sources = YAML(typ="safe").load((PROVISIONING / "datasources" / "funnel.yml").read_text())["datasources"]
    secrets = [secret for source in sources for secret in source.get("secureJsonData", {}).values()]
    assert secrets == ["$CLICKHOUSE_READER_PASSWORD"]
