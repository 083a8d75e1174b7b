"""Who decides when a cohort in training is written down."""


class Checkpointer:
    """Writes down what is being trained, between two chunks of steps; this one never does. Subclasses do."""

    def due(self) -> bool:
        """Whether it is time; asked after every chunk, so it must cost next to nothing."""
        return False

    def save(self) -> None:
        """Write it down."""
