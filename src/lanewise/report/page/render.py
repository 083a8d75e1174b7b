"""A page as HTML: one file that needs nothing else."""

import json
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from lanewise.printable import printable
from lanewise.report.page.parts import Page


def render(page: Page) -> str:
    """The text of the page; 5 MB, because Plotly is in it."""
    folder = files("lanewise.report.page")
    # Files of ours, and JSON in which nothing can end its element: all else is escaped.
    trusted = {
        "css": folder.joinpath("page.css").read_text(encoding="utf-8"),
        "script": folder.joinpath("page.js").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
        "figures": script_json({figure.name: figure.variants for figure in page.drawn}),
    }
    template = environment().get_template("page.html")
    return template.render(
        page=page,
        written=f"{datetime.now():%d %B %Y at %H:%M}",
        **{name: Markup(text) for name, text in trusted.items()},
    )


@cache
def environment() -> Environment:
    """Jinja with everything escaped, and nothing in a text that a browser would obey, hide or show in another order."""
    return Environment(
        loader=PackageLoader("lanewise.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )


def script_json(data: Any) -> str:
    """`data` as JSON that can stand inside a script element: nothing in it can end the element or begin another."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
