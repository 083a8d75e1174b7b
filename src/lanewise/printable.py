"""Text that comes from a file or a user, made fit to be shown: it can neither steer a terminal nor flood it."""

import re
import unicodedata

LONGEST = 2000
"""Characters of a message, at most: some twenty lines of a terminal."""

# Control characters, surrogates, private and unassigned ones, and the format characters that reorder or hide text.
# Line feed and tab are layout; the two joiners shape letters and emoji.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
KEPT = frozenset("\n\t\u200c\u200d")
PLAIN = re.compile(r"[\n\t\x20-\x7e\u00a0-\u00ac\u00ae-\u02ff]*")
"""What most texts are made of, all of it fit to be shown; looked for first, since it is fast."""


def printable(text: str) -> str:
    r"""`text` with an escape in place of every character that a terminal would obey or not show.

    >>> print(printable("good\x1b]0;title\x07 \u202etxt.exe"))
    good\x1b]0;title\x07 \u202etxt.exe
    """
    if PLAIN.fullmatch(text):
        return text
    return "".join(c if c in KEPT or unicodedata.category(c) not in UNSEEN else escaped(c) for c in text)


def escaped(character: str) -> str:
    """The character as Python spells it in ASCII."""
    return character.encode("ascii", "backslashreplace").decode() if character > "\x7f" else repr(character)[1:-1]


def cut(text: str, most: int = LONGEST) -> str:
    """`text`, or its beginning and its end where it has more than `most` characters: what is allowed often stands last.

    >>> cut("abcdefghij" * 10, 60)
    'abcdefgh ... (84 characters left out) ... cdefghij'
    """
    if len(text) <= most:
        return text
    ends = max(most - 44, 2) // 2
    return f"{text[:ends]} ... ({len(text) - 2 * ends:,} characters left out) ... {text[-ends:]}"
