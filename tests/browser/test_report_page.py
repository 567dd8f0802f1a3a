"""The report in a real browser: nothing runs, nothing is loaded, everything fits."""

import re
import socket
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from report import sample
from triggerfish.report.html import render

pytestmark = pytest.mark.browser
DARK = "--blink-settings=preferredColorScheme=0"


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.sources += [value or "" for name, value in attrs if name == "src"]


@pytest.fixture
def visits() -> Iterator[tuple[int, list[bytes]]]:
    """A port on this machine, and the first bytes of everything that came to it."""
    seen: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(2)
                seen.append(connection.recv(200))

    thread = threading.Thread(target=listen)
    thread.start()
    yield server.getsockname()[1], seen
    over.set()
    thread.join()
    server.close()


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    return path


def test_hostile_strings_stay_text(tmp_path: Path, browse, visits) -> None:
    port, seen = visits
    text = render(sample.hostile(f"http://127.0.0.1:{port}/x.png"))
    dom = browse(page(tmp_path, text), "--dump-dom")
    assert dom.count("<h2>") >= 5  # the page was parsed to its end
    head = dom[: dom.index("</head>")]
    assert "owned</title>" not in head
    assert "<title>suspicious: " in head
    parsed = Elements()
    parsed.feed(dom)
    assert parsed.tags >= {"h1", "table", "figure"}
    assert not parsed.tags & {"script", "iframe", "object", "link"}
    assert not [name for name in parsed.attributes if name.startswith("on")]
    assert all(source.startswith("data:image/") for source in parsed.sources)
    assert "\u202e" not in dom
    assert "\x1b" not in dom
    assert "\\u202e" in dom
    assert seen == []


def test_the_test_server_would_see_a_request(tmp_path: Path, browse, visits) -> None:
    port, seen = visits
    browse(page(tmp_path, f'<img src="http://127.0.0.1:{port}/x.png">'), "--dump-dom")
    assert seen
    assert seen[0].startswith(b"GET /x.png")


def test_the_policy_of_the_page_blocks_what_would_slip_through(
    tmp_path: Path, browse, visits
) -> None:
    port, seen = visits
    slipped = f"<script>document.title='ran'</script><img src='http://127.0.0.1:{port}/x.png'>"
    text = render(sample.sample()).replace("<main>", f"<main>{slipped}")
    assert slipped in text
    dom = browse(page(tmp_path, text), "--dump-dom")
    assert "<title>ran" not in dom
    assert seen == []


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("which", ["sample", "hostile"])
def test_nothing_is_wider_than_the_screen(tmp_path: Path, browse, width: int, which: str) -> None:
    text = render(getattr(sample, which)())
    probe = (
        f"<script>const f=document.createElement('iframe');f.style.width='{width}px';"
        "document.body.append(f);f.contentDocument.write(page);f.contentDocument.close();"
        "const d=f.contentDocument.documentElement;"
        "document.title=d.scrollWidth+' of '+d.clientWidth</script>"
    )
    open_page = re.sub(r"<meta http-equiv[^>]*>", "", text)
    quoted = open_page.replace("\\", "\\\\").replace("`", "\\`").replace("$", "\\$")
    quoted = quoted.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    holder = (
        f"<!doctype html><title>none</title><script>const page=`{quoted}`</script><body>{probe}"
    )
    dom = browse(page(tmp_path, holder), "--dump-dom", "--window-size=1400,900")
    found = re.search(r"<title>(\d+) of (\d+)</title>", dom)
    assert found, dom[:300]
    assert int(found[1]) <= int(found[2])


def test_it_looks_different_in_the_dark(tmp_path: Path, browse) -> None:
    path = page(tmp_path, render(sample.sample()))
    shots = {}
    for name, size, flags in (
        ("desk", "1200,1600", []),
        ("phone", "390,1600", []),
        ("dark", "1200,1600", [DARK]),
    ):
        target = tmp_path / f"{name}.png"
        browse(path, f"--window-size={size}", f"--screenshot={target}", *flags)
        shots[name] = np.asarray(Image.open(target).convert("L"), dtype=float)
        assert shots[name].std() > 15  # something is drawn
    assert shots["phone"].shape[1] == 390
    assert shots["desk"].mean() > 200
    assert shots["dark"].mean() < 70
