"""`make bench`, or `python -m bench NAME ...` for some of them; `peers` runs by name only; `rules` takes arguments."""

import sys

from bench import candidate_step, loading, networks, peers, reestimation, rules, schedulers

BENCHES = {
    "candidate-step": candidate_step.main,
    "schedulers": schedulers.main,
    "reestimation": reestimation.main,
    "networks": networks.main,
    "loading": loading.main,
    "rules": rules.main,
    "peers": peers.main,
}


def main() -> None:
    """Run the benches named, or all but `peers`, which needs an environment of its own."""
    names = sys.argv[1:] or [name for name in BENCHES if name != "peers"]
    if names[0] == "rules":
        return rules.main()
    for name in names:
        if name not in BENCHES:
            sys.exit(f"no bench called {name!r}; there are: {', '.join(BENCHES)}")
    for name in names:
        BENCHES[name]()


if __name__ == "__main__":
    main()
