"""viser for one person: who does not know the address that was printed is shown nothing and can change nothing.

viser serves whoever reaches its port: other users of the machine, and any page in a browser on it, which may even have
the server published on the internet (its share tunnel). Here every request, before a websocket opens, must

- name this machine (``Host``), so that a page whose name was made to lead here (DNS rebinding) gets nothing;
- come from the page that is served here (``Origin``), where a browser says where from, and a websocket must say;
- know the token, the first part of the address's path: new in each run, 256 random bits.

Of all messages that viser acts on, only values of the controls are left.
"""

import contextlib
import io
import logging
import math
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mixdepth.errors import ConfigurationError

if TYPE_CHECKING:
    import viser
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

HOST = "127.0.0.1"
# Any port: with `ssh -L 9000:127.0.0.1:8080` the browser says 9000.
NAMES = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")
# viser's page unpacks itself, so its own scripts must run; it may speak with nobody but this server.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; connect-src data: ws://{host}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REFUSED = "Nothing to see here. Open the address that `mixdepth view` printed, all of it.\n"

Answer = Callable[["ServerConnection", "Request"], "Response | None"]


def private_server(label: str, port: int) -> tuple["viser.ViserServer", str]:
    """Start viser on ``port`` of this machine, or the next free one.

    Returns:
        the server, and the address at which alone it answers.
    """
    import viser

    # What strangers send is refused; a traceback of it for each tells the user nothing.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    token = secrets.token_urlsafe(32)
    # viser prints an address, at which nothing is.
    with guarded(token), contextlib.redirect_stdout(io.StringIO()):
        server = viser.ViserServer(host=HOST, port=port, label=label, verbose=False)
    only_controls(server)
    server.gui.configure_theme(show_share_button=False)
    return server, f"http://{HOST}:{server.get_port()}/{token}/"


@contextlib.contextmanager
def guarded(token: str) -> Iterator[None]:
    """Have the server that viser starts meanwhile ask ``admit`` first; viser does not hand a way to do so through.

    Raises:
        ConfigurationError: it was not asked to, so that what viser has started is open to all.
    """
    import websockets.asyncio.server as websockets

    serve, started = websockets.serve, []

    def guarding(*given: Any, process_request: Answer, **options: Any) -> Any:
        started.append(given)
        return serve(*given, process_request=lambda *request: admit(token, process_request, *request), **options)

    websockets.serve = guarding  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        websockets.serve = serve  # type: ignore[misc]
    if not started:
        raise ConfigurationError(
            "viser cannot be guarded, it starts otherwise than 1.1 does; install that (`viser==1.1.*`)"
        )


def admit(token: str, answer: Answer, connection: "ServerConnection", request: "Request") -> "Response | None":
    """What viser has to ``answer`` to a request that may see it, and 403 to any other. None opens a websocket."""
    hosts, origins = (request.headers.get_all(name) for name in ("Host", "Origin"))
    wanted = [f"http://{host}" for host in hosts]
    # Browsers name no origin where an address is typed in, and always for a websocket.
    same = origins == wanted or (not origins and "Upgrade" not in request.headers)
    path, _, query = request.path.partition("?")
    _, _, path = path.partition("/")
    given, _, path = path.partition("/")
    known = secrets.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())
    if not (len(hosts) == 1 and NAMES.fullmatch(hosts[0]) and same and known):
        return connection.respond(HTTPStatus.FORBIDDEN, REFUSED)
    response = answer(connection, replace(request, path=f"/{path}?{query}"))
    if response is not None:
        response.headers["Content-Security-Policy"] = POLICY.format(host=hosts[0])
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def only_controls(server: "viser.ViserServer") -> None:
    """Have ``server`` act on nothing that a page sends but finite values of controls (and where its camera is)."""
    from viser._messages import GuiUpdateMessage

    messages = server._websock_server
    (update,) = messages._incoming_handlers[GuiUpdateMessage]
    for kind in [*messages._incoming_handlers]:
        messages.unregister_handler(kind)

    async def update_value(client: Any, message: GuiUpdateMessage) -> None:
        # viser would set whatever attribute is named, to whatever is sent.
        value = message.updates.get("value")
        if len(message.updates) == 1 and isinstance(value, int | float) and math.isfinite(value):
            await update(client, message)  # type: ignore[misc]

    messages.register_handler(GuiUpdateMessage, update_value)
