"""`make bench`, or `python -m bench NAME ...` for some of them; those that take minutes run by name only."""

import sys

from bench import candidate_step, coverage, equal_studies, loading, networks, peers, reestimation, schedulers

BENCHES = {
    "candidate-step": candidate_step.main,
    "schedulers": schedulers.main,
    "reestimation": reestimation.main,
    "networks": networks.main,
    "loading": loading.main,
    "coverage": coverage.main,
    "equal-studies": equal_studies.main,
    "peers": peers.main,
}

BY_NAME = ("coverage", "equal-studies", "peers")
"""Those that take minutes, or, as `peers` does, an environment of their own."""


def main() -> None:
    """Run the benches named, or all but those of `BY_NAME`."""
    names = sys.argv[1:] or [name for name in BENCHES if name not in BY_NAME]
    for name in names:
        if name not in BENCHES:
            sys.exit(f"no bench called {name!r}; there are: {', '.join(BENCHES)}")
    for name in names:
        BENCHES[name]()


if __name__ == "__main__":
    main()
