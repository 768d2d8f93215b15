from __future__ import annotations

import socket

import pytest

from rro_sdk.errors import ConfigError
from servers.ports import Reservation, reserve, url_of
from tests.servers.ports import neighbours


def _server_socket(port: int) -> socket.socket:
    """Bind and listen as uvicorn does."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def test_the_server_gets_its_reserved_port() -> None:
    with Reservation("127.0.0.1", None) as held, _server_socket(held.port) as listener:
        assert listener.getsockname()[1] == held.port


def test_a_reserved_port_is_given_to_nobody_else() -> None:
    held = reserve("127.0.0.1", None, 50)
    try:
        ports = {reservation.port for reservation in held}
        assert len(ports) == 50
        for _ in range(200):
            with socket.socket() as other:
                other.bind(("127.0.0.1", 0))
                assert other.getsockname()[1] not in ports
    finally:
        for reservation in held:
            reservation.close()


def test_a_port_in_use_is_named() -> None:
    with Reservation("127.0.0.1", None) as free:
        port = free.port
    with _server_socket(port), pytest.raises(ConfigError, match=f"port {port} "):
        Reservation("127.0.0.1", port)


def test_two_of_ours_do_not_get_the_same_port() -> None:
    with Reservation("127.0.0.1", None) as first:
        with pytest.raises(ConfigError, match=f"port {first.port} "):
            Reservation("127.0.0.1", first.port)
        port = first.port
    with Reservation("127.0.0.1", port) as again:  # given back
        assert again.port == port


def test_all_or_none() -> None:
    first, second = neighbours()
    with second:
        first.close()
        with pytest.raises(ConfigError, match=f"port {second.port} "):
            reserve("127.0.0.1", first.port, 2)
    with Reservation("127.0.0.1", first.port):
        pass


def test_out_of_range_and_unknown_hosts() -> None:
    with pytest.raises(ConfigError, match="65535"):
        reserve("127.0.0.1", 65535, 2)
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        Reservation("192.0.2.1", None)  # an address for documentation: no machine has it


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8"), ("0.0.0.0", "http://127.0.0.1:8"), ("::", "http://[::1]:8"),
     ("10.0.0.3", "http://10.0.0.3:8")],
)  # fmt: skip
def test_urls(host: str, url: str) -> None:
    assert url_of(host, 8) == url
