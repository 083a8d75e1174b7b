"""A terminal, or what stands for one, that shows nothing which would steer it."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from lanewise.printable import printable


class SafeConsole(Console):
    """A console that shows text as it is: escapes from a file or a user are made visible, brackets are no markup.

    Rich's own control codes pass: they come as segments of another kind.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable(segment.text)
            yield segment if text is segment.text else Segment(text, segment.style, segment.control)
