"""HTML pages from templates: every text of a scene is escaped, and a name that a template does not get is an error."""

import base64

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
