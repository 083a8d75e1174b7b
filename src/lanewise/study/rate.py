"""How long a unit of work takes, measured while a run goes on; unknown until enough of it has been seen."""

ENOUGH_SECONDS = 4.0
"""Of work that must have been seen before a rate is given."""
LEAST_WINDOW = 2.0
"""Seconds of the latest work that the rate is of, at least; in a longer run it is the later half."""
COLD_SECONDS = 20.0
"""The first steps of a process are slower than all others, so they are left out unless they took this long."""


class Rate:
    """Seconds that a unit of work takes, by the latest work of this process.

    Time before the first steps (imports, checks, an earlier process) is not counted. The first seconds of steps, in
    which the process is still warming up, soon lose their weight.

    >>> rate = Rate()
    >>> asked = ((8.0, 0.0), (9.0, 1.0), (11.0, 2.0), (13.0, 4.0), (15.0, 8.0))
    >>> [rate.measured(seconds, done) for seconds, done in asked]  # doctest: +ELLIPSIS
    [None, None, None, 1.0, 0.666...]
    """

    def __init__(self) -> None:
        self._seen: list[tuple[float, float]] = []

    def measured(self, seconds: float, done: float) -> float | None:
        """Seconds that a unit takes, None while unknown; first called before the first step.

        Args:
            seconds: since any start, without those that belong to no work. done: work up to now.
        """
        if len(self._seen) == 1 and seconds - self._seen[0][0] < COLD_SECONDS:
            # The second entry says that the first has been left out.
            self._seen = [(seconds, done)] * 2
            return None
        self._seen.append((seconds, done))
        window = seconds - self._seen[0][0]
        if window < ENOUGH_SECONDS:
            return None
        at_least = max(LEAST_WINDOW, window / 2)
        begun = next(one for one in reversed(self._seen) if seconds - one[0] >= at_least)
        return (seconds - begun[0]) / (done - begun[1]) if done > begun[1] else None
