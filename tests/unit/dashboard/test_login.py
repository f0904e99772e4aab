"""Who may look."""

from dashboard.login import TRIES, TRIES_SECONDS, Login


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_right_password_gives_a_session_that_ends() -> None:
    clock = Clock()
    login = Login("correct horse", 60, clock)
    assert login.session("wrong") is None
    cookie = login.session("correct horse")
    assert cookie is not None and login.knows(cookie)
    clock.now += 61
    assert not login.knows(cookie)


def test_a_cookie_cannot_be_made_or_lengthened() -> None:
    login, other = Login("a", 60, Clock()), Login("a", 60, Clock())
    cookie = login.session("a") or ""
    ends, _, signature = cookie.partition(".")
    for made in (
        "",
        ".",
        ends,
        f"{int(ends) + 1}.{signature}",
        f"{ends}.{signature[:-1]}",
        "é.é",
        other.session("a"),
    ):
        assert not login.knows(made or "")


def test_guessing_is_slowed_down() -> None:
    clock = Clock()
    login = Login("a", 60, clock)
    for _ in range(TRIES):
        assert login.wait() == 0
        login.session("b")
    assert 0 < login.wait() <= TRIES_SECONDS + 1
    clock.now += TRIES_SECONDS
    assert login.wait() == 0
