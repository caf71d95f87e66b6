"""Posting callbacks to real receivers on this machine, well-behaved and not."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from tests.kits.tls import certificate, receiving_tls

from quintet.aws.webhooks import HttpWebhooks, resolve
from quintet.errors import BadInput
from quintet.webhooks.channel import Answer, Undelivered
from quintet.webhooks.url_guard import Blocked
from quintet_cli.receiver import Receiver, receiving

HEADERS = {"content-type": "application/json", "webhook-id": "job_1"}
LOCAL = HttpWebhooks("loopback")


@contextmanager
def listening(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that does as it likes with its one connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                behave(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


def test_a_callback_arrives_as_it_was_sent() -> None:
    receiver = Receiver(answer=lambda received: 202)
    with receiving(receiver) as url:
        assert LOCAL.post(f"{url}/a?b=1", b'{"a":1}', HEADERS).status == 202
        (received,) = receiver.received
    assert received.body == b'{"a":1}'
    assert received.headers == {
        **HEADERS,
        "accept-encoding": "identity",
        "content-length": "7",
        "host": url.removeprefix("http://"),
        "user-agent": "quintet-callbacks",
    }


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 308, 400, 410, 429, 500, 503])
def test_the_status_is_what_is_read_and_no_redirect_is_followed(status: int) -> None:
    receiver = Receiver(answer=lambda received: status)
    with receiving(receiver) as url:
        assert LOCAL.post(url, b"{}", HEADERS).status == status
    assert len(receiver.received) == 1


def test_a_retry_after_is_handed_on() -> None:
    def busy(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n")

    with listening(busy) as port:
        assert LOCAL.post(f"http://127.0.0.1:{port}/", b"{}", HEADERS) == Answer(503, "17")


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, receiver = Receiver(), Receiver(answer=lambda received: 200)
    with receiving(proxy) as proxy_url, receiving(receiver) as url:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy_url)
        assert LOCAL.post(url, b"{}", HEADERS).status == 200
    assert (len(proxy.received), len(receiver.received)) == (0, 1)


# ---- the guard at work -------------------------------------------------------------------------


def test_the_name_is_resolved_once_and_the_checked_address_is_connected_to() -> None:
    asked: list[tuple[str, int]] = []
    receiver = Receiver(answer=lambda received: 200)
    with receiving(receiver) as url:
        port = int(url.rpartition(":")[2])

        def rebinding(host: str, port: int) -> list[str]:
            asked.append((host, port))
            return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

        webhooks = HttpWebhooks("loopback", resolve=rebinding)
        # nothing else resolves this name
        assert webhooks.post(f"http://hooks.invalid:{port}/", b"{}", HEADERS).status == 200
    assert asked == [("hooks.invalid", port)]
    assert receiver.received[0].headers["host"] == f"hooks.invalid:{port}"


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["8.8.8.8", "10.0.0.1"], []],
)
def test_nothing_is_connected_to_where_one_address_is_private(addresses: list[str]) -> None:
    webhooks = HttpWebhooks("public", resolve=lambda host, port: addresses)
    with pytest.raises(Blocked):
        webhooks.post("https://hooks.example.com/", b"{}", HEADERS)


def test_a_name_of_this_machine_is_blocked_in_the_cloud() -> None:
    with pytest.raises(Blocked):
        HttpWebhooks("public").post("https://localhost/", b"{}", HEADERS)


def test_a_stored_url_is_held_to_the_scope_again() -> None:
    with pytest.raises(BadInput, match=r"^url: expected https:// on port 443"):
        HttpWebhooks("public").post("http://hooks.example.com/", b"{}", HEADERS)


def test_the_systems_resolver_is_asked_by_default() -> None:
    assert resolve("127.0.0.1", 80) == ["127.0.0.1"]
    with pytest.raises(Undelivered, match=r"^not resolved$"):
        LOCAL.post("http://hooks.invalid/", b"{}", HEADERS)


# ---- receivers that misbehave ------------------------------------------------------------------


def test_a_port_where_nobody_listens_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Undelivered, match=r"^no answer$"):
        LOCAL.post(f"http://127.0.0.1:{port}/", b"{}", HEADERS)


def test_the_next_address_is_tried() -> None:
    receiver = Receiver(answer=lambda received: 200)
    with receiving(receiver) as url:
        webhooks = HttpWebhooks("loopback", resolve=lambda host, port: ["127.0.0.9", "127.0.0.1"])
        assert webhooks.post(url.replace("127.0.0.1", "localhost"), b"{}", HEADERS).status == 200


def test_a_receiver_that_hangs_is_given_up_in_time() -> None:
    over = threading.Event()
    with listening(lambda connection: (over.wait(10), None)[1]) as port:
        with pytest.raises(Undelivered, match=r"^timed out$"):
            HttpWebhooks("loopback", seconds=0.1).post(f"http://127.0.0.1:{port}/", b"{}", HEADERS)
        over.set()


def test_a_receiver_that_drips_is_given_up_in_time() -> None:
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(1_000):
            try:
                connection.sendall(b"x-more: 1\r\n")
            except OSError:
                return
            if over.wait(0.02):
                return

    with listening(drip) as port:
        with pytest.raises(Undelivered, match=r"^timed out$"):
            HttpWebhooks("loopback", seconds=0.2).post(f"http://127.0.0.1:{port}/", b"{}", HEADERS)
        over.set()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 70_000]
)
def test_an_answer_that_is_not_http_is_none(answer: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    with (
        listening(speak) as port,
        pytest.raises(Undelivered, match=r"^no answer$"),
    ):
        LOCAL.post(f"http://127.0.0.1:{port}/", b"{}", HEADERS)


EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
FINAL = b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("interim", [EARLY, PROCESSING, EARLY + PROCESSING * 3])
def test_an_interim_answer_is_not_the_final_one(interim: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(interim + FINAL)

    with listening(speak) as port:
        assert LOCAL.post(f"http://127.0.0.1:{port}/", b"{}", HEADERS) == Answer(503, "7")


@pytest.mark.parametrize("count", [1, 10_000])
def test_interim_answers_alone_are_no_answer(count: int) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(65_536)
        with suppress(OSError):
            connection.sendall(PROCESSING * count)

    with listening(speak) as port, pytest.raises(Undelivered, match=r"^no answer$"):
        LOCAL.post(f"http://127.0.0.1:{port}/", b"{}", HEADERS)


# ---- TLS ---------------------------------------------------------------------------------------


def trusting(pem: Path) -> HttpWebhooks:
    context = ssl.create_default_context(cafile=str(pem))
    return HttpWebhooks("loopback", resolve=lambda host, port: ["127.0.0.1"], tls=lambda: context)


def test_the_certificate_is_checked_against_the_name_and_sni_carries_it(tmp_path: Path) -> None:
    names: list[str | None] = []
    pem = certificate(tmp_path, x509.DNSName("hooks.example.com"))
    with receiving_tls(pem, names) as port:
        url = f"https://hooks.example.com:{port}/"
        assert trusting(pem).post(url, b"{}", HEADERS).status == 204
        for other in (f"https://other.example.com:{port}/", f"https://127.0.0.1:{port}/"):
            with pytest.raises(Undelivered, match=r"^certificate refused$"):
                trusting(pem).post(other, b"{}", HEADERS)
    assert names == ["hooks.example.com", "other.example.com", None]


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    pem = certificate(tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    with receiving_tls(pem, []) as port:
        with pytest.raises(Undelivered, match=r"^certificate refused$"):
            LOCAL.post(f"https://127.0.0.1:{port}/", b"{}", HEADERS)
        assert trusting(pem).post(f"https://127.0.0.1:{port}/", b"{}", HEADERS).status == 204


def test_tls_that_is_none_is_no_answer() -> None:
    with receiving(Receiver()) as url, pytest.raises(Undelivered, match=r"^no answer$"):
        LOCAL.post(url.replace("http", "https"), b"{}", HEADERS)
