"""What tests of pages share: a parser that fails on what does not nest, and what holds for all."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["Page", "assert_sound"]

VOID = {"meta", "link", "input", "img", "br"}


class Page(HTMLParser):
    """Elements of a page; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(k.rstrip("_")) == v for k, v in attributes.items())
        ]


def assert_sound(found: Page) -> None:
    """Check what holds for every page."""
    for tag, attributes in found.elements:
        assert not any(name.startswith("on") for name in attributes), f"handler in {tag}"
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            target = attributes.get(name) or ""
            allowed = ("data:image/png;base64,", "./", "#") + (("data:,",) if tag == "link" else ())
            assert not target or target.startswith(allowed), f"{tag} loads {target}"
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for link in found.all("a"):
        target = link["href"] or ""
        assert not target.startswith("#") or target[1:] in ids
    labelled = {label.get("for") for label in found.all("label")}
    for attributes in found.all("input"):
        wrapped = "data-plane" in attributes or "data-opacity" in attributes
        assert wrapped or attributes.get("id") in {*labelled, "filter-text"}
    assert all(image.get("alt") for image in found.all("img"))
    assert found.all("html", lang="en")
    assert len(found.all("h1")) == 1
