"""Scores of rows with heavy tails: how often the interval of the test score holds the truth, and which are flagged.

A row's error is a square, or heavier, of its own size beside the noise of runs; 8 runs score the same rows. Plain:
`crossed_interval`. Studentised: `skew_aware_interval`. Flagged: studies in which the verdict says that few rows decide.
"""

from collections.abc import Callable

import numpy as np

from lanewise.statistics.heavy_tails import heavy_tailed, skew_aware_interval
from lanewise.statistics.intervals import crossed_interval

STUDIES, RUNS = 400, 8
Draw = Callable[[np.random.Generator, int], np.ndarray]
ERRORS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda g, n: g.standard_normal(n), 0.0),
    "squared normal": (lambda g, n: g.standard_normal(n) ** 2, 1.0),
    "squared t, 5 degrees": (lambda g, n: g.standard_t(5, n) ** 2, 5 / 3),
    "squared t, 3 degrees": (lambda g, n: g.standard_t(3, n) ** 2, 3.0),
    "log-normal, sigma 1": (lambda g, n: np.exp(g.standard_normal(n)), float(np.exp(0.5))),
    "log-normal, sigma 2": (lambda g, n: np.exp(2 * g.standard_normal(n)), float(np.exp(2.0))),
    "one in 200 is 100": (lambda g, n: g.standard_normal(n) ** 2 + 100 * (g.random(n) < 0.005), 1.5),
}


def main(studies: int = STUDIES) -> None:
    """Simulate and print."""
    print(f"\nTest scores of rows with heavy tails, {studies} studies a line, {RUNS} runs: 95% intervals holding truth")
    print(f"{'errors':24}{'rows':>6}{'plain':>8}{'studentised':>13}{'wider':>8}{'flagged':>9}   of flagged")
    for name, (draw, truth) in ERRORS.items():
        for rows in (100, 360, 2000):
            generator, held, wide, flags = np.random.default_rng(0), [], [], []
            for _ in range(studies):
                row = draw(generator, rows)
                values = -(row + 0.3 * row * generator.standard_normal((RUNS, rows)))
                values += 0.02 * generator.standard_normal((RUNS, 1))
                plain, heavy = crossed_interval(values), skew_aware_interval(values, fraction=False)
                held.append([one.low <= -truth <= one.high for one in (plain, heavy)])
                wide.append((heavy.high - heavy.low) / (plain.high - plain.low))
                flags.append(heavy_tailed(values))
            plain_held, heavy_held = np.mean(held, axis=0)
            of_flagged = np.array(held)[flags].mean(axis=0) if any(flags) else ()
            line = (
                f"{name:24}{rows:>6}{plain_held:>8.1%}{heavy_held:>13.1%}{np.median(wide):>8.2f}{np.mean(flags):>9.0%}"
            )
            print(line + "   " + ", ".join(f"{share:.1%}" for share in of_flagged), flush=True)
