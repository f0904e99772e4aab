"""Crediting a conversion.

clicks       A(1) ---- B(5) ---- B'(5) ----- conversion(9)
first_click  ^all
last_click                       ^all (B and B' at one time: the larger event id)
"""

from hypothesis import given
from hypothesis import strategies as st

from streams.steps.attribute import UNATTRIBUTED, Claim, credits_of
from streams.steps.models import MODELS, Journey, Touch

CLAIM = Claim("partner", "t1", 9, "approved", 1_000_001, 77, "EUR", "sale", "own", "aff", "offer")


def touch(at: int, number: int) -> Touch:
    return Touch(at, number, "click", f"campaign{number}", "", "", "email", "DE", "mobile", 0)


JOURNEY = [touch(1, 1), touch(5, 2), touch(5, 3)]


def test_first_and_last_click_take_all() -> None:
    credits = {credit.model: credit for credit in credits_of(CLAIM, JOURNEY, MODELS)}
    assert (credits["first_click"].touch_id, credits["last_click"].touch_id) == (1, 3)
    assert credits["last_click"].campaign == "campaign3"
    assert {(credit.weight, credit.value, credit.payout) for credit in credits.values()} == {
        (10**9, 1_000_001, 77)
    }


def test_without_a_touch_there_is_one_unattributed_row_per_model() -> None:
    credits = credits_of(CLAIM, [], MODELS)
    assert [(c.model, c.touch_id, c.channel, c.campaign, c.value) for c in credits] == [
        (name, 0, UNATTRIBUTED, "own", 1_000_001) for name in MODELS
    ]


@given(
    st.integers(0, 10**15),
    st.integers(0, 10**15),
    st.lists(st.floats(0, 10), min_size=1, max_size=9).filter(any),
)
def test_whatever_the_model_its_credits_add_up(value: int, payout: int, weights: list[float]) -> None:
    def model(journey: Journey) -> list[float]:
        return weights

    claim = CLAIM._replace(value=value, payout=payout)
    credits = credits_of(claim, [touch(n, n + 1) for n in range(len(weights))], {"any": model})
    assert sum(credit.value for credit in credits) == value
    assert sum(credit.payout for credit in credits) == payout
    assert sum(credit.weight for credit in credits) == 10**9
