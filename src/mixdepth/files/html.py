"""HTML pages from templates: every text of a scene is escaped, and a name that a template does not get is an error."""

import base64
import hashlib

import jinja2


def environment(room: str) -> jinja2.Environment:
    """What fills the templates of a package of ours, such as ``mixdepth.report``."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(room),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_uri(kind: str, data: bytes) -> str:
    """A file of this type, such as ``image/webp``, as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def policy(style: str, script: str = "") -> str:
    """A Content-Security-Policy that lets this style and this script in and nothing else, from nowhere."""
    own = {"style": style, "script": script}
    hashes = {kind: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for kind, text in own.items()}
    allowed = [f"{kind}-src 'sha256-{hashes[kind]}'" for kind, text in own.items() if text]
    return "; ".join(
        ["default-src 'none'", "img-src data:", "media-src data:", *allowed, "base-uri 'none'", "form-action 'none'"]
    )
