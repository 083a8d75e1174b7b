"""Text made fit for a page."""

import html

from lanewise.printable import printable


def escape(text: str, quote: bool = True) -> str:
    """`text` as HTML, with nothing in it that a browser would obey, hide or show in another order."""
    return html.escape(printable(text), quote)
