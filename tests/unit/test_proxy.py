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


def test_a_delay_is_added_and_ends(proxy: Proxy) -> None:
    with connect(proxy) as link:
        proxy.trouble(delay=60.0)
        proxy.mend()
        proxy.trouble(delay=0.3)
        link.sendall(b"slow")
        link.settimeout(0.2)
        with pytest.raises(TimeoutError):
            link.recv(1)
        link.settimeout(SECONDS)
        assert link.recv(100) == b"slow"


def test_a_connection_ends_after_so_many_bytes(proxy: Proxy) -> None:
    """Both directions count: 6 bytes go there, 4 of the answer come back."""
    with connect(proxy) as link:
        link.sendall(b"before")
        assert link.recv(100) == b"before"
        proxy.trouble(cut_after=10)
        link.sendall(b"sixsix")
        assert b"".join(iter(lambda: link.recv(100), b"")) == b"sixs"
    proxy.mend()
    with connect(proxy) as link:
        link.sendall(b"longer than ten bytes")
        assert link.recv(100) == b"longer than ten bytes"


def test_the_answer_to_a_long_request_is_lost_and_those_to_short_ones_come(proxy: Proxy, echo: Echo) -> None:
    proxy.trouble(unanswered_after=50)
    with connect(proxy) as link:
        for _ in range(3):
            link.sendall(b"x" * 20)
            assert link.recv(100)
        echo.received.clear()
        link.sendall(b"x" * 60)
        with pytest.raises(ConnectionError):
            raise ConnectionResetError if link.recv(1) == b"" else AssertionError("it was answered")
    assert echo.received.is_set(), "the request arrived"


def test_a_half_closed_connection_still_brings_the_answer() -> None:
    """The server hears the end of the requests and says what it has to; what is sent later goes nowhere."""

    def serve() -> None:
        link, _ = listener.accept()
        with link:
            while data := link.recv(100):
                heard.append(data)
                link.sendall(b".")
            sent.wait(SECONDS)
            link.sendall(b"all: " + b"".join(heard))

    heard: list[bytes] = []
    sent = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        with Proxy(listener.getsockname()) as proxy, connect(proxy) as link:
            link.sendall(b"first")
            assert link.recv(1) == b"."
            proxy.half_close()
            link.sendall(b"second")
            sent.set()
            assert b"".join(iter(lambda: link.recv(100), b"")) == b"all: first"
