"""`make bench`, or `python -m bench NAME ...` for some of them; `peers` runs by name only."""

import sys
from collections.abc import Callable

from bench import (
    calibration,
    candidate_step,
    coordinates,
    coverage,
    equal_studies,
    frozen,
    fuzz,
    importance,
    large_data,
    loading,
    lora,
    many,
    networks,
    peers,
    places,
    pruners,
    races,
    recordings,
    reestimation,
    schedulers,
    spaces,
    start,
    time_to_answer,
)

BENCHES: dict[str, Callable[[], None]] = {
    "candidate-step": candidate_step.main,
    "schedulers": schedulers.main,
    "reestimation": reestimation.main,
    "networks": networks.main,
    "frozen": frozen.main,
    "data": large_data.main,
    "loading": loading.main,
    "lora": lora.main,
    "start": start.main,
    "many": many.main,
    "time-to-answer": time_to_answer.main,
    "races": races.main,
    "coverage": coverage.main,
    "calibration": calibration.main,
    "equal-studies": equal_studies.main,
    "recordings": recordings.main,
    "importance": importance.main,
    "pruners": pruners.main,
    "places": places.main,
    "coordinates": coordinates.main,
    "spaces": spaces.main,
    "peers": peers.main,
    "fuzz": fuzz.main,
}
WITH_OPTIONS: dict[str, Callable[[list[str]], None]] = {
    "importance": importance.main,
    "time-to-answer": time_to_answer.main,
    "pruners": pruners.main,
    "races": races.main,
    "fuzz": fuzz.main,
    "data": large_data.main,
    "recordings": recordings.main,
    "lora": lora.with_options,
    "spaces": spaces.main,
    "networks": networks.with_options,
}
"""Benches that take options, when they run alone: `python -m bench time-to-answer --candidates 256`."""
BY_NAME_ONLY = (
    "races", "recordings", "importance", "coordinates", "coverage", "calibration", "equal-studies", "peers", "fuzz",
    "spaces", "data",
)  # fmt: skip
"""What takes minutes or half an hour, or needs an environment of its own."""


def main() -> None:
    """Run the benches named, or all that need nothing more than the project."""
    words = sys.argv[1:]
    first_option = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    names, options = words[:first_option], words[first_option:]
    for name in names:
        if name not in BENCHES:
            sys.exit(f"no bench called {name!r}; there are: {', '.join(BENCHES)}")
    if options:
        if len(names) != 1 or names[0] not in WITH_OPTIONS:
            sys.exit(f"options belong to one bench, of {', '.join(WITH_OPTIONS)}")
        WITH_OPTIONS[names[0]](options)
        return
    for name in names or [name for name in BENCHES if name not in BY_NAME_ONLY]:
        BENCHES[name]()


if __name__ == "__main__":
    main()
