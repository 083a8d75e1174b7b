"""Numbers written as people write them: decimal commas, thousands separators, units, and words for "no value"."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

WORDS = """
n/a na n.a. nan -nan null none nil <na> nat missing unknown ? - -- \u2014 \u2013 . .. ... *
#n/a #na #div/0! #value! #ref! #num! #name? #null! 1.#ind -1.#ind 1.#qnan -1.#qnan
"""
NO_VALUE = frozenset({*WORDS.split(), "", "#n/a n/a"})
"""Words, in small letters, that stand for a missing value in a column of numbers or dates."""

DECIMALS = ((".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
"""Pairs of (decimal mark, thousands separator) in the order in which they are tried."""

SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'", "\u2212": "-"})
MONEY = r"[$€£¥₹₽₩]|USD|EUR|GBP|CHF|JPY"
WORD = r"[^\W\d_]{1,5}[²³]?|°[CF]?"
BODY = r"[\d.,' ]*\d[\d.,']*(?:[eE][+-]?\d+)?|inf(?:inity)?"
AROUND = re.compile(
    rf"(?P<open>\()?(?P<sign>[+-]?) ?(?P<before>{MONEY})? ?(?P<inner>[+-]?)(?P<body>{BODY})"
    rf" ?(?P<after>{MONEY}|%|{WORD})?(?(open)\))",
    re.IGNORECASE,
)
LOOKS = re.compile(r"[+-]?[\d.,' ]*\d[\d.,' ]*(?:[eE][+-]?\d+)?|[+-]?inf(?:inity)?", re.IGNORECASE)
MOST_TRIED = 1000
"""So many texts are looked at before a column most of which are no numbers is given up."""
NEARLY = 0.8
"""A column of text of which this share are numbers was most likely meant as one, and a note says what is in the way."""


@dataclass(frozen=True)
class Form:
    """How the texts of a column are read as values.

    Attributes:
        decimal, thousands: the marks in numbers. unit: `$`, `%` and the like around every number, which is left out.
        missing: texts that stand for no value. date: the format of `strptime`, empty for that of ISO 8601; zone:
            whether times have a zone.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    missing: tuple[str, ...] = ()
    date: str = ""
    zone: bool = False

    def number(self, text: str) -> float | None:
        """The number that `text` is in this form; None if it is none.

        >>> Form(",", ".").number("1.234,5"), Form(".", ",").number("1,23"), Form(unit="$").number("-$15")
        (1234.5, None, -15.0)
        >>> Form(".", ",").number("12,34,567.5")
        1234567.5
        """
        sign, body, unit = parted(text)
        if unit != self.unit and (unit or not is_money(self.unit)):
            return None
        if not pattern(self.decimal, self.thousands).fullmatch(body):
            return None
        plain = body.replace(self.thousands, "") if self.thousands else body
        return float(f"{sign}{plain.replace(self.decimal, '.')}")


@lru_cache(maxsize=4096)
def parted(text: str) -> tuple[str, str, str]:
    """(sign, digits and marks, unit) of a number as written.

    >>> parted("-$ 1,5"), parted("15 %"), parted("(5 kg)"), parted("red")
    (('-', '1,5', '$'), ('', '15', '%'), ('-', '5', 'kg'), ('', 'red', ''))
    """
    plain = text.translate(SPACES).strip()
    found = AROUND.fullmatch(plain)
    if found is None or (found["sign"] and (found["inner"] or found["open"])):
        return "", plain, ""
    sign = "-" if found["open"] else found["sign"] or found["inner"]
    return sign, found["body"], (found["before"] or "") + (found["after"] or "")


def is_money(unit: str) -> bool:
    """Whether a unit is a currency; a number without the currency that others have is taken to be in it."""
    return re.fullmatch(MONEY, unit) is not None


@lru_cache(maxsize=64)
def pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    """Matches the digits of a number without its sign; a first group of three has no leading zero.

    Commas may also stand as in India: 12,34,567.5.
    """
    point, mark = re.escape(decimal), re.escape(thousands)
    grouped = rf"[1-9]\d{{0,2}}(?:{mark}\d{{3}})+|" if thousands else ""
    if (decimal, thousands) == (".", ","):
        grouped += r"[1-9]\d?(?:,\d{2})+,\d{3}|"
    digits = rf"(?:(?:{grouped}\d+)(?:{point}\d*)?|{point}\d+)"
    return re.compile(rf"{digits}(?:[eE][+-]?\d+)?|inf(?:inity)?", re.IGNORECASE)


@dataclass(frozen=True)
class Guess:
    """What the different texts of a column suggest.

    Attributes:
        fits: the pairs of `DECIMALS` that read all numbers. unit: of all of them. bad: the texts that are no numbers.
        numbers: how many texts are.
    """

    fits: tuple[tuple[str, str], ...]
    unit: str
    bad: tuple[str, ...]
    numbers: int

    @property
    def decimal_comma(self) -> bool | None:
        """Whether the decimal mark is a comma; None where the texts do not tell."""
        marks = {decimal for decimal, _ in self.fits}
        return None if len(marks) != 1 else marks == {","}

    def form(self, comma: bool) -> Form:
        """The form; `comma` says which mark is likelier in this table where the texts do not tell.

        >>> guess(["1,234", "5,678"]).form(comma=False).thousands, guess(["1,234", "5,678"]).form(comma=True).decimal
        (',', ',')
        """
        first, second = (",", ".") if comma else (".", ",")
        wanted = sorted(self.fits, key=lambda pair: (pair[0] != first, pair[1] == second and pair[0] != first))
        return Form(*wanted[0], self.unit, self.bad)


def guess(texts: Sequence[str]) -> Guess:
    """How the different `texts` of a column may be numbers; without any pair that fits where they are not.

    >>> guess(["1,5", "2,25", "?"]).fits[0], guess(["1.234,5", "7"]).fits, guess(["red", "blue"]).fits
    ((',', ''), ((',', '.'),), ())
    """
    like: list[str] = []
    bad: list[str] = []
    units: set[str] = set()
    for number, text in enumerate(texts):
        if number == MOST_TRIED and len(bad) > number // 2:
            return Guess((), "", tuple(texts), 0)
        _, body, unit = parted(text)
        if LOOKS.fullmatch(body):
            like.append(body)
            units.add(unit)
        else:
            bad.append(text)
    unit = max(units, default="")
    if len(units) > 1 and not (len(units) == 2 and "" in units and is_money(unit)):
        return Guess((), "", tuple(texts), 0)
    # A pair that reads all of the first is not beaten by one that does not.
    first = like[:MOST_TRIED]
    likely = [pair for pair in DECIMALS if all(pattern(*pair).fullmatch(body) for body in first)] or DECIMALS
    counts = {pair: sum(pattern(*pair).fullmatch(body) is not None for body in like) for pair in likely}
    most = max(counts.values())
    if not most:
        return Guess((), "", tuple(texts), 0)
    fits = tuple(pair for pair, count in counts.items() if count == most)
    if most < len(like):
        best = Form(*fits[0], unit)
        bad = [text for text in texts if best.number(text) is None]
    # A separator of thousands that no number has says nothing.
    seen = "".join(like)
    used = tuple(pair for pair in fits if pair[1] == "" or pair[1] in seen)
    return Guess(used or fits, unit, tuple(bad), most)


def says_nothing(texts: Iterable[str]) -> bool:
    """Whether all `texts` stand for a missing value."""
    return all(text.strip().lower() in NO_VALUE for text in texts)
