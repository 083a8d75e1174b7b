"""A learning-curve model over all lanes: what a ridge regression makes of scores and rates so far."""

import numpy as np

from bench.race_replay import Array, Judge, interval, ranks, tau

SEEN = (1, 2, 4, 8)
"""The rungs whose scores the model is given, in 16ths of the run, as far as they are reached."""
RIDGE = 3.0


def features(curves: dict[str, Array], judge: Judge, rung: int) -> Array:
    """[candidate, feature] at `rung` (in 16ths): log scores of averaged weights, the last one in front, and log rates.

    The rates are today's, the peak, and the means of those behind and ahead.
    """
    today = rung * 10
    rate = curves["rate"] + 1e-6
    scores = judge.scores(curves, "tail")
    seen = [ranks(scores[at - 1]) for at in sorted(SEEN, reverse=True) if at <= rung]
    seen.append(ranks(judge.scores(curves, "raw")[rung - 1]))
    rates = [rate[:, today], rate.max(axis=1), rate[:, :today].mean(axis=1), rate[:, today:].mean(axis=1)]
    return np.log(np.minimum(np.stack([*seen, *rates], axis=1), 10.0))


def predicted(given: Array, ends: Array, known: Array) -> Array:
    """Log score at the end of every candidate, by a regression of what is still gained on the candidates `known`."""
    centre, spread = given[known].mean(axis=0), given[known].std(axis=0) + 1e-9
    scaled = np.hstack([(given - centre) / spread, np.ones((len(given), 1))])
    penalty = RIDGE * np.eye(scaled.shape[1])
    penalty[-1, -1] = 0.0
    a, gained = scaled[known], (ends - given[:, 0])[known]
    found: Array = given[:, 0] + scaled @ np.linalg.solve(a.T @ a + penalty, a.T @ gained)
    return found


def compare(
    curves: dict[str, Array], judge: Judge, rung: int, known: int, draws: int, seed: int = 0
) -> tuple[Array, Array]:
    """Kendall's tau within the better half of the candidates that the model does not know: (averaged weights, model).

    Each is the mean over `draws` choices of the known candidates, with the range that 95% of the choices lie in.
    """
    generator = np.random.default_rng(seed)
    truth, ends = judge.truth(curves), np.log(np.minimum(ranks(judge.scores(curves, "end")), 10.0))
    given, plain = features(curves, judge, rung), judge.scores(curves, "tail")[rung - 1]
    found = []
    for _ in range(draws):
        order = generator.permutation(len(truth))
        others = order[known:]
        best = others[np.argsort(ranks(truth[others]), kind="stable")][: len(others) // 2]
        model = predicted(given, ends, order[:known])
        found.append((tau(plain[best], truth[best]), tau(model[best, None], truth[best])))
    both = np.array(found).T
    plainly, modelled = (interval(np.concatenate([[taus.mean()], taus])) for taus in both)
    return plainly, modelled
