"""The live viewer in a real Chromium: its own page works and asks for nothing else, and another page gets nothing."""

import functools
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.browser import eventually
from helpers.camera_paths import lay_out
from mixdepth import kernels
from mixdepth.rendering.progressive import Model, View
from mixdepth.results import Results
from mixdepth.viewer.guard import private_server
from mixdepth.viewer.live import open_view
from mixdepth.viewer.screen import seen_from

# What another page does: it asks at the address, as simply as it may, and by a websocket that wants to publish.
FOREIGN = """<!doctype html><title>foreign</title><script>
const told = [];
const ask = (host, path) => {
  fetch(`http://${host}${path}`, {mode: 'no-cors'}).then(a => told.push(`${path} ${a.type}`), () => told.push('no'));
  const socket = new WebSocket(`ws://${host}${path}`, 'viser-v%s');
  socket.onopen = () => told.push('open');
  socket.onerror = () => told.push('refused');
  const frame = document.body.appendChild(document.createElement('iframe'));
  frame.src = `http://${host}${path}`;
};
</script><body></body>"""


@pytest.fixture
def opened() -> Iterator[tuple[Any, str]]:
    server, address = private_server("secret rig", 18800)
    server.scene.add_point_cloud("/points", np.zeros((10, 3), np.float32), np.zeros((10, 3), np.uint8))
    server.gui.add_slider("Frame", 0, 10, 1, 0)
    yield server, address
    server.stop()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """The address of another server on this machine, with a page of its own."""
    import viser

    (tmp_path / "index.html").write_text(FOREIGN % viser.__version__)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def test_its_own_page_connects_asks_for_nothing_else_and_cannot_share(
    chromium: Any,
    opened: tuple[Any, str],
) -> None:
    server, address = opened
    context = chromium.new_context()
    page = context.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    try:
        page.goto(address, wait_until="load")
        eventually(lambda: page.evaluate("1") and server.get_clients(), 60)
        eventually(lambda: "Frame" in page.evaluate("document.body.innerText"))
        assert page.locator(".tabler-icon-cloud-check").count() == 1
        assert page.locator(".tabler-icon-share").count() == 0
        assert complaints == []
        assert requests[0] == address
        assert [url for url in requests[1:] if not url.startswith(("blob:", "data:"))] == []
    finally:
        context.close()


def test_a_foreign_page_gets_nothing_even_with_the_token(
    chromium: Any,
    opened: tuple[Any, str],
    elsewhere: str,
) -> None:
    server, address = opened
    context = chromium.new_context()
    page = context.new_page()
    try:
        page.goto(elsewhere, wait_until="load")
        token = address.split("/")[3]
        for path in ("/", f"/{token}"):
            page.evaluate(f"told.length = 0; ask('127.0.0.1:{server.get_port()}', '{path}')")
            eventually(lambda: "refused" in page.evaluate("told"))
            assert "open" not in page.evaluate("told")
        page.wait_for_timeout(500)
        assert all("viser" not in frame.content().lower() for frame in page.frames[1:])
        assert not server.get_clients()
        assert not server._websock_server._live_connections
    finally:
        context.close()


def test_a_model_fills_the_page_and_its_controls_work(chromium: Any, tmp_path: Path) -> None:
    scene = lay_out(tmp_path, [[0, 6]])
    context = chromium.new_context(viewport={"width": 900, "height": 600})
    page = context.new_page()
    with kernels.uncompiled():
        view, address = open_view(scene, "none", Results(tmp_path), 18850)

        def shown() -> np.ndarray:
            for _ in range(40):
                view.step()
            return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))[300:, :500].astype(int)

        try:
            page.goto(address, wait_until="load")
            eventually(lambda: page.evaluate("1") and view.server.get_clients(), 60)
            (client,) = view.server.get_clients().values()
            model = Model(tmp_path / "none/model.safetensors", tmp_path / "space.json")
            *_, sharp = View(model, seen_from(client.camera, 12)).pictures(0)
            whole = np.asarray(Image.fromarray(sharp.rgb).resize((900, 600), Image.Resampling.BILINEAR))
            wanted = whole[300:, :500].astype(int)
            eventually(lambda: np.abs(shown() - wanted).mean() < 12, 60)
            page.get_by_label("Depth").click()
            eventually(lambda: np.abs(shown() - wanted).mean() > 24)
            page.get_by_role("button", name="Add this view").click()
            eventually(lambda: view.step() or "1 view, 0 s" in page.evaluate("document.body.innerText"))
        finally:
            view.server.stop()
            context.close()
