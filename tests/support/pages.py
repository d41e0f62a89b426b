"""What every page of ours keeps to: it loads and runs nothing, whatever the names in it say."""

from __future__ import annotations

import re
from html.parser import HTMLParser

HOSTILE = "</script></style></title><img src=x onerror=\"window.hacked=1\"><svg onload='hacked=1'>&$\\frac{"


class Reader(HTMLParser):
    """What is in a page: tags, attributes and text, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.attributes += attributes
        if name not in ("meta", "img", "br"):
            self.open.append(name)

    def handle_startendtag(self, name, attributes):
        self.tags.append(name)
        self.attributes += attributes

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)


def assert_alone(text):
    """Nothing in the page is fetched from elsewhere, and nothing in it could run."""
    found = Reader(text)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(found.tags)
    for name, value in found.attributes:
        assert not name.startswith("on"), name
        if name in ("src", "href", "xlink:href", "action", "srcset"):
            assert value.startswith(("#", "data:image/png;base64,")), value
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "default-src 'none'" in dict(found.attributes)["content"] or "default-src &#x27;none" in text
