"""The space `classic`: the techniques of the textbooks, the same for every task."""

from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Constant, Cosine, Exponential, Linear, Polynomial, Staircase
from lanewise.recipe.ranges import choice, log, uniform
from lanewise.recipe.recipe import Recipe


def classic() -> Recipe:
    """The techniques of the textbooks: six schedules with and without warm-up, rate, momentum, L2, L1, dropout.

    The rate spans three decades because its best value moves with momentum and schedule; penalties start so low
    that the lowest draws amount to none. Rate and L2 are drawn one by one: by their product and ratio (`coupled`)
    neither random draws nor TPE came nearer the best (`python -m bench coordinates`).
    """
    schedule = choice(
        Constant(),
        Constant(warmup="5%"),
        Linear(),
        Linear(warmup="5%"),
        Exponential(to=0.01),
        Exponential(to=0.01, warmup="5%"),
        Staircase(beta=0.1, period="34%"),
        Staircase(beta=0.1, period="34%", warmup="5%"),
        Polynomial(power=2.0),
        Polynomial(power=2.0, warmup="5%"),
        Cosine(),
        Cosine(warmup="5%"),
    )
    return Recipe(
        optimizer=SGD(lr=log(1e-3, 1.0) * schedule, momentum=uniform(0.0, 0.95)),
        l2=log(1e-6, 1e-2),
        l1=log(1e-8, 1e-3),
        dropout=uniform(0.0, 0.5),
        norm_momentum=log(0.01, 0.5),
    )
