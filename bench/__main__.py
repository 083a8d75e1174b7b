"""`make bench`, or `python -m bench NAME ...` for some of them."""

import sys

from bench import candidate_step, reestimation, schedulers

BENCHES = {
    "candidate-step": candidate_step.main,
    "schedulers": schedulers.main,
    "reestimation": reestimation.main,
}


def main() -> None:
    """Run the benches named, or all."""
    names = sys.argv[1:] or list(BENCHES)
    for name in names:
        if name not in BENCHES:
            sys.exit(f"no bench called {name!r}; there are: {', '.join(BENCHES)}")
    for name in names:
        BENCHES[name]()


if __name__ == "__main__":
    main()
