"""Markdown of the reports, made HTML of the page."""

import re

from markdown_it import MarkdownIt
from markupsafe import Markup

# Raw HTML is shown as text, but for the line breaks in cells of tables.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")
_BREAK = re.compile(r"&lt;br&gt;")


def block(text: str) -> Markup:
    """Paragraphs, lists, tables and quotations."""
    html = _BREAK.sub("<br>", _PARSER.render(text))
    # A wide table scrolls in its own box, which the keyboard reaches.
    box = '<div class="scroll" tabindex="0" role="group" aria-label="Table">'
    html = html.replace("<table>", f"{box}<table>")
    return Markup(html.replace("</table>", "</table></div>"))


def inline(text: str) -> Markup:
    """A line: emphasis, code and links."""
    return Markup(_BREAK.sub("<br>", _PARSER.renderInline(text)))
