"""Who decides when a cohort in training is written down."""


class Checkpointer:
    """Writes down what is being trained, between two chunks of steps; this one never does. Subclasses do."""

    def due(self) -> bool:
        """Whether it is time. Called after every chunk, so it must be cheap."""
        return False

    def save(self) -> None:
        """Write it down."""
