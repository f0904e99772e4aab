import pytest

from deploy.embedded.clickhouse.access.users import User, Users
from deploy.embedded.clickhouse.errors import ServerError

USERS = Users([User("default", "one"), User("reader", "two", reads_only=True), User("open", "")])


def test_each_user_has_a_password_of_its_own():
    assert USERS.authenticate("default", "one").reads_only is False
    assert USERS.authenticate("reader", "two").reads_only is True
    assert USERS.authenticate("open", "").name == "open"


@pytest.mark.parametrize(
    ("name", "password"),
    [("reader", "one"), ("default", ""), ("nobody", ""), ("nobody", "one"), ("open", "x")],
)
def test_others_are_refused_alike(name, password):
    with pytest.raises(ServerError) as caught:
        USERS.authenticate(name, password)
    assert caught.value.code == 516
    assert "or there is no user with such name" in caught.value.text


def test_passwords_are_not_shown():
    assert "two" not in repr(User("reader", "two"))
