"""Building HTML and SVG with ElementTree, so that text from outside is always escaped."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

Element = Xml.Element


def add(parent: Element, tag: str, text: str | None = None, **attributes: object) -> Element:
    """A child with `attributes`, whose names lose a trailing underscore and get a hyphen for every
    other one."""
    fields = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()}
    child = Xml.SubElement(parent, tag, fields)
    child.text = text
    return child
