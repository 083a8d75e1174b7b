"""Damage for a fuzzer: of bytes, of text and of plain data, each drawn from a generator, so that a seed repeats it."""

import copy
import json
from random import Random
from typing import Any

SYNTAX = r"""
( ) [ ] { } : , ; . .. * / - + ~ ! @ # % ^ & | = < > >> ** // ' " \ _ 0 1 -1 0.5 1e999 -0 00 1_0 0x1f 1j nan inf none
true false null lambda x: import __class__ yield await f'{x}' not and or if else 5% 3ep 200st cosine( choice( log( sgd(
>> warmup(5%) &a *a !!python/object !!float !!binary --- ... ?
"""
WORDS = [
    *SYNTAX.split(),
    "\n",
    "\t",
    "\r",
    "\0",
    "\u202e",
    "\x1b[2J",
    "\ud800",
    "\ufeff",
    "\u0661",
    "\xe9",
    "\U0001f600",
]
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 10**6, -(10**9), 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", "0", "nan", "\x1b[2J", "../..", "/", [], [0], [None], [[]], {}, {"x": 1}, {"": None}, "9" * 400, [1] * 50,
)  # fmt: skip


def text(random: Random, given: str) -> str:
    """`given` with a few words put in, taken out, doubled or moved; now and then many of one."""
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        at, end = sorted(random.randrange(len(given) + 1) for _ in range(2))
        how = random.randrange(6)
        if how == 0:
            given = given[:at] + random.choice(WORDS) + given[at:]
        elif how == 1:
            given = given[:at] + given[min(end, at + 8) :]
        elif how == 2:
            given = given[:at] + given[at : at + 20] * random.choice((2, 3, 50)) + given[at:]
        elif how == 3:
            given = given[:at] + random.choice(WORDS) + given[end:]
        elif how == 4:
            given = given[:at] + random.choice(WORDS) * random.choice((20, 200, 2000)) + given[at:]
        else:
            given = given[:at] + chr(random.choice((random.randrange(128), random.randrange(0x2100)))) + given[at + 1 :]
    return given


def content(random: Random, given: bytes) -> bytes:
    """`given` with bits flipped, pieces cut out, doubled, put to zero, or its end missing."""
    damaged = bytearray(given)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        at = random.randrange(len(damaged)) if damaged else 0
        length = random.choice((1, 4, 8, 100))
        how = random.randrange(6)
        if how == 0 and damaged:
            damaged[at] ^= 1 << random.randrange(8)
        elif how == 1:
            del damaged[at : at + length]
        elif how == 2:
            damaged[at:at] = damaged[at : at + length]
        elif how == 3:
            damaged[at : at + length] = bytes(len(damaged[at : at + length]))
        elif how == 4:
            damaged[at : at + length] = random.randbytes(length)
        else:
            del damaged[at:]
    return bytes(damaged)


def data(random: Random, given: Any) -> Any:
    """Plain data with one to three of its values replaced, removed, doubled or exchanged for another of its own."""
    made = copy.deepcopy(given)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(made))
        if not places:
            return random.choice(VALUES)
        holder, key = random.choice(places)
        how = random.randrange(8)
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif how == 2:
            other, where = random.choice(places)
            holder[key] = copy.deepcopy(other[where])
        elif how == 3 and isinstance(holder[key], str):
            holder[key] = text(random, holder[key])
        elif how == 4 and isinstance(holder[key], (int, float)):
            holder[key] = random.choice((-holder[key], holder[key] + 1, holder[key] * 1000, float(holder[key])))
        else:
            holder[key] = copy.deepcopy(random.choice(VALUES))
    return made


def _places(given: Any) -> Any:
    """(container, key) of every value inside `given`."""
    pairs = given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list) else ()
    for key, value in list(pairs):
        yield given, key
        yield from _places(value)


def json_text(random: Random, given: Any) -> bytes:
    """Plain data, damaged as data or as the text of a JSON file."""
    if random.random() < 0.75:
        return json.dumps(data(random, given)).encode()
    return content(random, json.dumps(given).encode())
