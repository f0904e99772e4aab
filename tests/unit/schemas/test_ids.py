import base64
import hashlib
import uuid

from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import (
    ALPHABET,
    hashed_route,
    hop_id,
    is_minted,
    journey_route,
    mint,
    mint_route,
    route_of,
    transaction_route,
)

ROUTES = st.text(ALPHABET, min_size=4, max_size=4)


@given(ROUTES)
def test_an_id_minted_for_a_journey_repeats_its_route(route: str) -> None:
    minted = mint(route)
    assert is_minted(minted)
    assert route_of(minted) == route
    assert mint(route) != minted


def test_routes_are_spread() -> None:
    assert len({mint_route() for _ in range(2000)}) > 1900
    assert len({hashed_route(str(number)) for number in range(2000)}) > 1900


@given(st.text(st.characters(codec="utf-8")))
def test_a_foreign_id_has_a_route_of_its_own(identifier: str) -> None:
    route = route_of(identifier)
    assert len(route) == 4
    assert set(route) <= set(ALPHABET)


@given(st.text(st.characters(codec="utf-8")))
def test_a_hashed_route_is_the_beginning_of_the_digest_in_base_32(text: str) -> None:
    """Records in Kafka are keyed by it: it must stay what it is."""
    assert hashed_route(text) == base64.b32encode(hashlib.sha256(text.encode()).digest())[:4].decode().lower()


def test_known_routes_stay() -> None:
    assert (hashed_route("customer-1"), transaction_route("shop", "4711")) == ("5a7r", "sgyq")


@given(ROUTES, ROUTES)
def test_a_minted_click_leads_before_everything(click: str, visitor: str) -> None:
    assert journey_route("p", "t", mint(click), "lead", mint(visitor)) == click
    assert journey_route("p", "t", "foreign", mint(click), mint(visitor)) == click
    assert journey_route("p", "t", "foreign", "foreign", mint(visitor)) == visitor


def test_what_leads_nowhere_stays_with_its_transaction() -> None:
    assert journey_route("p", "t", "", "", "") == transaction_route("p", "t")
    assert journey_route("p", "t", "click", "lead", "") == hashed_route("click")


def test_a_hop_has_the_id_of_its_content() -> None:
    assert hop_id("a", 1) == hop_id("a", 1)
    assert len({hop_id("a", 1), hop_id("a", 2), hop_id("a1"), hop_id("a", "1", "")}) == 4


@given(st.lists(st.text(st.characters(codec="utf-8")) | st.integers()))
def test_a_hop_id_is_a_version_5_uuid(content: list[object]) -> None:
    name = "\x00".join(str(part) for part in content)
    assert hop_id(*content) == str(uuid.uuid5(uuid.UUID("0b0e5a3c-6f0e-5f6e-9d5d-0f2a6a9f4c11"), name))
