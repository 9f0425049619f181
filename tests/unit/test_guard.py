"""The live viewer's server: strangers (other pages, other users, other names) get nothing, and nothing is published."""

import json
import math
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import viser._viser
from viser.infra import WebsockServer
from websockets.exceptions import ConnectionClosedError
from websockets.sync import client as websockets

from mixdepth.errors import UserError
from mixdepth.viewer import guard, live

PATIENCE = 20.0  # seconds


class Opened:
    """A private server with a slider and a checkbox, and what its address consists of."""

    def __init__(self) -> None:
        self.server, self.address = guard.private_server("secret rig", 18600)
        self.port, self.path = urlsplit(self.address).port, urlsplit(self.address).path
        self.host = f"127.0.0.1:{self.port}"
        self.speed = self.server.gui.add_slider("Frames per second", 1, 60, 1, 12)
        self.size = self.server.gui.add_slider("Point size", 0.25, 8.0, 0.25, 1.5)
        self.playing = self.server.gui.add_checkbox("Play", True)

    def status(self, path: str, *headers: str) -> int:
        """The status of what comes back over a raw socket."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as wire:
            wire.sendall("\r\n".join([f"GET {path} HTTP/1.1", *headers, "", ""]).encode())
            return int(wire.recv(1000).split()[1])

    def upgraded(self, path: str, *headers: str) -> int:
        """The status with which a websocket is refused; 101 where it opens."""
        key = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        return self.status(path, *headers, *key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")

    def page(self) -> websockets.ClientConnection:
        """A websocket as the server's own page opens it."""
        address = f"ws://{self.host}{self.path.rstrip('/')}"
        protocol = f"viser-v{viser.__version__}"
        return websockets.connect(
            address, origin=f"http://{self.host}", subprotocols=[protocol], max_size=None, compression=None
        )


def send(page: websockets.ClientConnection, kind: str, **message: Any) -> None:
    page.send(msgspec.msgpack.encode({"type": kind, **message}))


def received(opened: Opened, page: websockets.ClientConnection) -> None:
    """Wait until all that was sent has been acted on: what is sent last moves a slider of its own."""
    last = opened.server.gui.add_slider("Last", 0, 1, 1, 0)
    send(page, "GuiUpdateMessage", uuid=last._impl.uuid, updates={"value": 1})
    end = time.monotonic() + PATIENCE
    while last.value != 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    last.remove()


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    opened = Opened()
    yield opened
    opened.server.stop()


def test_the_printed_address_opens_under_the_names_of_this_machine(opened: Opened) -> None:
    assert opened.status(opened.path, f"Host: {opened.host}") == 200
    assert opened.status(opened.path, f"Host: localhost:{opened.port}") == 200
    assert opened.status(opened.path, "Host: localhost:9000") == 200  # ssh -L 9000
    assert opened.status(opened.path, f"Host: {opened.host}", f"Origin: http://{opened.host}") == 200
    assert opened.upgraded(opened.path, f"Host: {opened.host}", f"Origin: http://{opened.host}") == 101


@pytest.mark.parametrize("ask", [Opened.status, Opened.upgraded])
@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"],
        ["evil.example:{port}"],
        ["127.0.0.1.evil.example:{port}"],
        ["evil.example@127.0.0.1:{port}"],
        [],
        ["127.0.0.1:{port}", "evil.example"],
    ],
)
def test_another_host_is_refused(opened: Opened, ask: Any, hosts: list[str]) -> None:
    """A name that was made to lead here, even with the token and the origin that goes with it."""
    hosts = [host.format(port=opened.port) for host in hosts]
    origins = [f"Origin: http://{host}" for host in hosts]
    assert ask(opened, opened.path, *(f"Host: {host}" for host in hosts), *origins) == 403


@pytest.mark.parametrize("ask", [Opened.status, Opened.upgraded])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:18999", "http://127.0.0.1", "null", "https://{host}"]
)
def test_another_origin_is_refused(opened: Opened, ask: Any, origin: str) -> None:
    origin = origin.format(host=opened.host)
    assert ask(opened, opened.path, f"Host: {opened.host}", f"Origin: {origin}") == 403


def test_a_websocket_without_an_origin_is_refused(opened: Opened) -> None:
    assert opened.upgraded(opened.path, f"Host: {opened.host}") == 403


@pytest.mark.parametrize("ask", [Opened.status, Opened.upgraded])
@pytest.mark.parametrize(
    "path", ["/", "/index.html", "//", "/?{token}", "/{cut}/", "/x{token}/", "/../{token}/", "/é/"]
)
def test_without_the_token_nothing_is_served(opened: Opened, ask: Any, path: str) -> None:
    token = opened.path.strip("/")
    asked = path.format(token=token, cut=token[:-1])
    assert ask(opened, asked, f"Host: {opened.host}", f"Origin: http://{opened.host}") == 403


def test_each_run_has_a_token_of_its_own_of_256_bits() -> None:
    servers = [guard.private_server("x", 18700) for _ in range(2)]
    tokens = {urlsplit(address).path.strip("/") for _, address in servers}
    for server, _ in servers:
        server.stop()
    assert len(tokens) == 2
    assert {len(token) for token in tokens} == {43}


def test_nobody_can_have_the_capture_published(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple] = []
    monkeypatch.setattr(viser._viser, "ViserTunnel", lambda *given: asked.append(given))
    with opened.page() as page:
        send(page, "ShareUrlRequest")
        send(page, "ShareUrlDisconnect")
        received(opened, page)
    assert not asked
    sent = opened.server._websock_server._broadcast_buffer.message_from_id.values()
    (theme,) = [message for message in sent if type(message).__name__ == "ThemeConfigurationMessage"]
    assert theme.show_share_button is False


@pytest.mark.parametrize(
    "updates",
    [
        {"value": math.nan},
        {"value": math.inf},
        {"value": "60"},
        {"value": None},
        {"value": [1]},
        {"min": 0},
        {"sync_cb": 1},
        {"removed": True, "value": 2},
        {},
    ],
)
def test_what_is_no_value_of_a_control_is_passed_over(opened: Opened, updates: dict) -> None:
    with opened.page() as page:
        for control in (opened.speed, opened.size, opened.playing):
            send(page, "GuiUpdateMessage", uuid=control._impl.uuid, updates=updates)
        received(opened, page)
    assert (opened.speed.value, opened.size.value, opened.playing.value) == (12, 1.5, True)
    assert opened.speed.min == 1
    assert not opened.speed._impl.removed


@pytest.mark.parametrize(
    ("sent", "used"), [(0, (1, 0.25)), (-(2**60), (1, 0.25)), (1e300, (60, 8.0)), (20.0, (20, 8.0))]
)
def test_values_beyond_the_ends_of_a_slider_count_as_the_end(
    opened: Opened, sent: float, used: tuple[float, float]
) -> None:
    with opened.page() as page:
        for control in (opened.speed, opened.size):
            send(page, "GuiUpdateMessage", uuid=control._impl.uuid, updates={"value": sent})
        received(opened, page)
    assert (live.within(opened.speed), live.within(opened.size)) == used
    opened.speed.value, opened.size.value = 12, 1.5


def test_rubbish_closes_its_own_connection_only(opened: Opened, capfd: pytest.CaptureFixture) -> None:
    for rubbish in (b"\xc1", b"", "text", msgspec.msgpack.encode({"type": "NoSuchMessage"}), json.dumps({}).encode()):
        with opened.page() as page:
            page.send(rubbish)
            with pytest.raises(ConnectionClosedError):
                list(page)
    assert opened.status(opened.path, f"Host: {opened.host}") == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_viser_that_cannot_be_guarded_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebsockServer, "start", lambda self: None)
    with pytest.raises(UserError, match="cannot be guarded"), guard.guarded("token"):
        WebsockServer("127.0.0.1", 0).start()


def test_the_page_may_speak_with_its_own_server_only(opened: Opened) -> None:
    with socket.create_connection(("127.0.0.1", opened.port), timeout=PATIENCE) as wire:
        wire.sendall(f"GET {opened.path} HTTP/1.1\r\nHost: {opened.host}\r\n\r\n".encode())
        head = wire.recv(4000).partition(b"\r\n\r\n")[0].decode()
    policy = dict(line.split(": ", 1) for line in head.splitlines()[1:])["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"].split() == ["data:", f"ws://{opened.host}"]
    assert rules["frame-ancestors"] == "'none'"
