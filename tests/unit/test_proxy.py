"""The network that tests cut: what goes through it, and when."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.proxy import Proxy

SECONDS = 30.0


class Echo(threading.Thread):
    """Answers each connection with what it gets; ``received`` is set when something has come."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.received = threading.Event()

    def run(self) -> None:
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(link,), daemon=True).start()

    def _answer(self, link: socket.socket) -> None:
        try:
            while data := link.recv(100):
                self.received.set()
                link.sendall(data)
        except OSError:
            return


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    echo.start()
    yield echo
    echo.listener.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.listener.getsockname()) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS)


def is_dead(link: socket.socket) -> bool:
    try:
        link.sendall(b"x")
        return link.recv(1) == b""
    except ConnectionError:
        return True


def test_it_lets_both_directions_through(proxy: Proxy) -> None:
    with connect(proxy) as link:
        link.sendall(b"hello")
        assert link.recv(100) == b"hello"


def test_a_cut_ends_old_and_new_connections_until_it_is_mended(proxy: Proxy) -> None:
    with connect(proxy) as link:
        link.sendall(b"a")
        assert link.recv(1) == b"a"
        proxy.cut()
        assert is_dead(link)
    with connect(proxy) as link:
        assert is_dead(link)
    proxy.mend()
    with connect(proxy) as link:
        link.sendall(b"b")
        assert link.recv(1) == b"b"


@pytest.mark.parametrize("answers_only", [True, False])
def test_what_is_held_back_arrives_later(proxy: Proxy, echo: Echo, answers_only: bool) -> None:
    with connect(proxy) as link:
        proxy.hold_back(answers_only=answers_only)
        link.sendall(b"late")
        assert echo.received.wait(SECONDS if answers_only else 0.2) == answers_only
        link.settimeout(0.2)
        with pytest.raises(TimeoutError):
            link.recv(1)
        proxy.mend()
        link.settimeout(SECONDS)
        assert link.recv(100) == b"late"


def test_a_server_that_is_not_there_is_a_connection_that_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()
    with Proxy(nobody) as proxy, connect(proxy) as link:
        assert is_dead(link)
