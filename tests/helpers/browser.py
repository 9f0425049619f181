"""A real headless Chromium for tests of pages: it notes every complaint and every request, and goes nowhere."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

EXECUTABLE = Path(os.environ.get("MIXDEPTH_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = [
    "--no-sandbox",  # for root
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",  # WebGL without a GPU
    "--enable-unsafe-swiftshader",
]
INSIDE = ("file:", "data:", "blob:", "about:")
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
DARK = {"color_scheme": "dark"}
WITHOUT_SCRIPTS = {"java_script_enabled": False}

# The ratio of WCAG 2.2 between a text and the first opaque background behind it.
CONTRAST = """
selector => [...document.querySelectorAll(selector)].filter(e => e.checkVisibility() && e.textContent.trim()).map(e => {
  const parts = c => c.match(/[\\d.]+/g).map(Number);
  const luminance = c => parts(c).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let behind = e;
  const seen = b => (parts(getComputedStyle(b).backgroundColor)[3] ?? 1) > 0.5;
  while (behind.parentElement && !seen(behind)) behind = behind.parentElement;
  const white = matchMedia('(prefers-color-scheme: dark)').matches ? 'rgb(0, 0, 0)' : 'rgb(255, 255, 255)';
  const back = seen(behind) ? getComputedStyle(behind).backgroundColor : white;
  const [a, b] = [luminance(getComputedStyle(e).color), luminance(back)].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 40)];
})
"""


@dataclass
class Visit:
    """A page that is open, and what it did so far."""

    page: Any  # playwright.sync_api.Page
    complaints: list[str] = field(default_factory=list)  # console errors (also of a broken policy) and exceptions
    requests: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing was complained about and nothing was requested from outside."""
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith(INSIDE)] == []

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - innerWidth")

    def worst_contrast(self, selector: str) -> tuple[float, str]:
        """The lowest contrast of the texts that ``selector`` matches, and the beginning of that text."""
        return min(map(tuple, self.page.evaluate(CONTRAST, selector)))


def eventually(happened: Callable[[], Any], seconds: float = 15.0) -> None:
    """Wait until ``happened()`` is true. (Playwright's own way to wait needs what a page's policy forbids.)"""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A Chromium without a window. Skips where there is none: /usr/bin/chromium, or $MIXDEPTH_CHROMIUM."""
    if not EXECUTABLE.is_file():
        pytest.skip(f"no Chromium at {EXECUTABLE} (apt-get install chromium, or set MIXDEPTH_CHROMIUM)")
    from playwright.sync_api import sync_playwright

    # One module at a time: two of these in one thread do not go together.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(EXECUTABLE), args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def visit(chromium: Any, path: Path, **options: Any) -> Iterator[Visit]:
    """Open the file ``path``; what it complained about or requested from outside fails the test in the end.

    Args:
        chromium: the fixture.
        path: an HTML file.
        options: of Playwright's ``new_context``, such as ``**PHONE`` or ``**DARK``.
    """
    context = chromium.new_context(**options)
    try:
        # After the check of what was asked for: nothing reaches the network even in a test that fails.
        context.route(lambda url: not url.startswith(INSIDE), lambda route: route.abort())
        seen = Visit(context.new_page())
        seen.page.on("console", lambda m: seen.complaints.append(m.text) if m.type == "error" else None)
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(Path(path).resolve().as_uri(), wait_until="load")
        yield seen
        seen.check()
    finally:
        context.close()
