"""The OpenAPI document: it names every endpoint and method that is served, and what their fields are."""

from collector.app import ROUTES
from collector.items import FIELDS
from collector.openapi import document
from tests.unit.collector.support import Collector


def test_it_is_served() -> None:
    answer = Collector().get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == document()


def test_it_has_every_route_and_method_and_no_other() -> None:
    described = {
        (path, method.upper()) for path, methods in document()["paths"].items() for method in methods
    }
    served = {(path, method) for path, route in ROUTES.items() for method in route.methods}
    assert described == served | {("/c/{link}", "GET")}


def test_it_has_every_field_of_every_kind() -> None:
    described = {
        item["properties"]["kind"]["const"]: set(item["properties"])
        for item in document()["components"]["schemas"]["Event"]["oneOf"]
    }
    assert described == FIELDS
