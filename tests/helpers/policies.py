"""What a browser lets run of a page of ours, by the page's own content security policy."""

import base64
import hashlib
from html.parser import HTMLParser


class Inline(HTMLParser):
    """Collects the policy, what is inline, and the attributes that no hash can allow."""

    def __init__(self) -> None:
        super().__init__()
        self.policies: list[str] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.forbidden: list[str] = []
        self.within = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        if tag == "meta" and values.get("http-equiv") == "Content-Security-Policy":
            # What stands before it is not under it.
            assert not any(self.texts.values())
            self.policies.append(values["content"])
        self.forbidden += [f"{tag} {name}" for name in values if name.startswith("on") or name == "style"]
        self.forbidden += [f"{tag} {value}" for value in values.values() if (value or "").startswith("javascript:")]
        # What has another type is data, which is not run.
        self.within = tag if tag in self.texts and "type" not in values else ""
        if self.within:
            assert "src" not in values
            self.texts[tag].append("")

    def handle_data(self, data: str) -> None:
        if self.within:
            self.texts[self.within][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.within = ""


def check_policy(page: str) -> None:
    """The page lets in nothing but its own inline script and style, each by its hash, and has no inline handlers."""
    found = Inline()
    found.feed(page)
    (policy,) = found.policies
    rules = {name: values for name, *values in (rule.split() for rule in policy.split(";"))}
    assert rules["default-src"] == ["'none'"]
    assert (rules["base-uri"], rules["form-action"]) == (["'none'"], ["'none'"])
    assert all(set(rules.get(kind, [])) <= {"data:"} for kind in ("img-src", "media-src"))
    assert set(rules) <= {"default-src", "base-uri", "form-action", "img-src", "media-src", "script-src", "style-src"}
    for kind, texts in found.texts.items():
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        assert rules.get(f"{kind}-src", []) == [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    assert found.forbidden == []
