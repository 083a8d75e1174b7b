"""Tasks of every kind as lanes: packed, looped and plain PyTorch agree, whatever the inputs, targets and objective."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD, Adam
from lanewise.parts.schedules import Cosine, Linear
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import plan

ROWS, TOKENS, VOCABULARY = 80, 6, 11
BASE = Recipe(optimizer=SGD(lr=0.1 * Cosine(), momentum=0.9), l2=1e-3, batch_size=8, epochs=10)
TOLERANCE = 1e-9


class Transformer(nn.Module):
    """Embedding, causal attention through `scaled_dot_product_attention`, and the embedding again as the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(VOCABULARY, 8), nn.Parameter(torch.randn(TOKENS, 8))
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(2))
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.wide, self.narrow = nn.Linear(8, 16), nn.Linear(16, 8)
        self.head = nn.Linear(8, VOCABULARY, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.place
        q, k, v = (p.unflatten(-1, (2, 4)).transpose(1, 2) for p in self.qkv(self.norms[0](x)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        x = x + self.narrow(F.gelu(self.wide(self.norms[1](x))))
        found: Tensor = self.head(x)
        return found


class Recurrent(nn.Module):
    """The last state of a recurrent layer."""

    def __init__(self, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.cells, self.last = kind(3, 5, batch_first=True), nn.Linear(5, 1)

    def forward(self, series: Tensor) -> Tensor:
        found: Tensor = self.last(self.cells(series)[0][:, -1])
        return found


class Several(nn.Module):
    """Two named inputs: tokens, and numbers in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.last = nn.Embedding(VOCABULARY, 4), nn.BatchNorm1d(3), nn.Linear(7, 4)

    def forward(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        found: Tensor = self.last(torch.cat([self.embed(tokens).mean(1), torch.tanh(self.norm(numbers))], 1))
        return found


class Encoder(nn.Module):
    """A model that is called in two ways by an objective of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.back = nn.Linear(12, 5), nn.Linear(5, 12)

    def encode(self, x: Tensor) -> Tensor:
        return torch.tanh(self.into(x))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.back(self.encode(x))
        return found


def reconstruction(model: Encoder, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch, and a metric of it."""
    codes = model.encode(batch["x"])
    loss = F.mse_loss(model(batch["x"]), batch["x"]) + 0.1 * codes.abs().mean()
    return loss, {"kept": 1 - F.mse_loss(model(batch["x"]), batch["x"])}


def by_row(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and metric of every row."""
    x, y = batch
    outputs = model(x)
    return F.cross_entropy(outputs, y, reduction="none"), {"right": (outputs.argmax(1) == y).float()}


def drawn(seed: int, *shape: int, below: int | None = None) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=source) if below is None else torch.randint(below, shape, generator=source)


def residual() -> nn.Module:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            return x + torch.relu(self.norm(self.conv(x)))

    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )


def perceptron(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, outputs))


@dataclass(frozen=True)
class Kind:
    """A kind of task: its model, data and objective, and its loss in plain PyTorch from (model, inputs, targets)."""

    model: Callable[[], nn.Module]
    data: Any
    loss: Callable[[nn.Module, Any, Any], Tensor]
    options: dict[str, Any]
    optimizer: Any = None


X, LABELS = drawn(0, ROWS, 12), torch.arange(ROWS) % 4
NUMBERS = X[:, :2] * 40 + 100 + drawn(1, ROWS, 2)
IGNORING = drawn(2, ROWS, TOKENS, below=VOCABULARY)
IGNORING[::3, -2:] = -100


def squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(model(x).view(y.shape), y)


def crossed(model: nn.Module, x: Any, y: Tensor) -> Tensor:
    return F.cross_entropy(model(**x) if isinstance(x, dict) else model(*x) if isinstance(x, tuple) else model(x), y)


SEVERAL = {"tokens": drawn(3, ROWS, 5, below=VOCABULARY), "numbers": drawn(4, ROWS, 3)}
KINDS = {
    "images, residual": Kind(residual, (drawn(5, ROWS, 1, 6, 6), LABELS), crossed, {}),
    "next token, transformer": Kind(
        Transformer,
        (drawn(6, ROWS, TOKENS, below=VOCABULARY), IGNORING),
        lambda model, x, y: F.cross_entropy(model(x).flatten(0, 1), y.flatten()),
        {},
        Adam(lr=0.003 * Cosine()),
    ),
    "series, LSTM": Kind(lambda: Recurrent(nn.LSTM), (drawn(7, ROWS, 5, 3), NUMBERS[:, 0]), squared, {}),
    "series, GRU": Kind(lambda: Recurrent(nn.GRU), (drawn(7, ROWS, 5, 3), NUMBERS[:, :1]), squared, {}),
    "two numbers": Kind(lambda: perceptron(2), (X, NUMBERS), squared, {"metric": "absolute error"}),
    "named inputs": Kind(Several, (SEVERAL, LABELS), crossed, {}),
    "inputs in order": Kind(Several, ((SEVERAL["tokens"], SEVERAL["numbers"]), LABELS), crossed, {}),
    "class weights": Kind(
        lambda: perceptron(4),
        (X, LABELS),
        lambda model, x, y: F.cross_entropy(model(x), y, weight=torch.tensor([1.0, 2.0, 0.5, 3.0]).double()),
        {"class_weights": [1, 2, 0.5, 3]},
    ),
    "own objective of batches": Kind(
        Encoder, {"x": {"x": X}}, lambda model, x, y: reconstruction(model, x)[0], {"objective": reconstruction}
    ),
    "own objective of rows": Kind(lambda: perceptron(4), (X, LABELS), crossed, {"objective": by_row}),
}
every_kind = pytest.mark.parametrize("name", KINDS)


def recipes(kind: Kind) -> list[Recipe]:
    base = BASE if kind.optimizer is None else replace(BASE, optimizer=kind.optimizer)
    slower = (
        replace(base.optimizer, lr=0.02 * Linear()) if kind.optimizer is None else replace(base.optimizer, beta1=0.5)
    )
    return [base, replace(base, optimizer=slower, l2=1e-2), replace(base, l2=0.0)]


def task(kind: Kind) -> Task:
    return Task(kind.model, kind.data, **kind.options)


def run(kind: Kind, how: str) -> Cohort:
    """The recipes trained to the end as lanes."""
    lanes = recipes(kind)
    plans = {str(lanes[0].structure()): plan(how)}
    made = task(kind)
    made.check_model()
    cohort = Cohort(Engine(made, 3, threads=1, dtype=torch.float64, plans=plans), lanes, [0])
    for progress in (0.5, 1.0):
        cohort.advance(progress)
        cohort.evaluate()
    return cohort


def weights(cohort: Cohort, candidate: int) -> dict[str, Tensor]:
    """Parameters and buffers of a candidate's lane."""
    (group,) = cohort.groups
    block = next(block for block in group.packs[0].blocks if candidate in block.candidates)
    at = block.candidates.index(candidate)
    return group.prepared.step.weights([leaf[at] for leaf in block.state], block.table[-1, :, at])


def plain(kind: Kind, cohort: Cohort, candidate: int) -> dict[str, Tensor]:
    """The same in plain PyTorch, on the batches of the lane."""
    (group,) = cohort.groups
    recipe, feed = recipes(kind)[candidate], group.packs[0].feed
    model = cohort.engine.new_model(0).train()
    rates = recipe.optimizer.lr.table(group.total_steps, feed.steps_per_epoch)
    decayed = [p for name, p in model.named_parameters() if name in group.prepared.step.penalised]
    kept = [p for name, p in model.named_parameters() if name not in group.prepared.step.penalised]
    groups = [{"params": decayed, "weight_decay": recipe.l2}, {"params": kept}]
    if isinstance(recipe.optimizer, SGD):
        optimizer: torch.optim.Optimizer = torch.optim.SGD(groups, lr=0.1, momentum=recipe.optimizer.momentum)
    else:
        optimizer = torch.optim.Adam(groups, lr=0.1, betas=(recipe.optimizer.beta1, recipe.optimizer.beta2))
    for first, end in feed.spans(0, group.total_steps):
        chunk = feed.chunk(first, end)
        for at in range(end - first):
            for one in optimizer.param_groups:
                one["lr"] = float(rates[first + at])
            optimizer.zero_grad()
            layout = group.prepared.step.layout
            kind.loss(model, *layout.batch(chunk.step(at))).backward()
            optimizer.step()
    return model.state_dict()


def distance(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    return max(float((theirs[name].double() - value.double()).abs().max()) for name, value in mine.items())


@every_kind
def test_packed_is_looped_is_plain_pytorch(name: str) -> None:
    kind = KINDS[name]
    packed, looped = run(kind, "packed"), run(kind, "looped")
    for candidate in range(3):
        mine = weights(packed, candidate)
        assert distance(mine, weights(looped, candidate)) < TOLERANCE
        assert distance(mine, plain(kind, packed, candidate)) < TOLERANCE
    assert packed.evaluate().metric == pytest.approx(looped.evaluate().metric, abs=1e-9)


@every_kind
def test_lanes_learn_and_differ(name: str) -> None:
    cohort = run(KINDS[name], "packed")
    first, last = (cohort.curves[0, 0][at] for at in (0, 1))
    assert last[1] < first[1]
    assert len({round(score, 12) for score in cohort.evaluate().loss[:, 0]}) == 3


def assert_trains_alone_as_in_lanes(cohort: Cohort, made: Task, recipe: Recipe) -> None:
    alone = train(made, recipe, seed=3, dtype=torch.float64)
    scores = cohort.evaluate()
    assert alone.validation is not None
    assert alone.validation[0] == pytest.approx(scores.loss[0, 0], abs=1e-9)
    assert alone.validation[1] == pytest.approx(made.objective.turned(scores.metric[0, 0]), abs=1e-9)


@every_kind
def test_trained_alone_a_recipe_scores_as_its_lane(name: str) -> None:
    kind = KINDS[name]
    made = task(kind)
    made.check_model()
    assert_trains_alone_as_in_lanes(run(kind, "packed"), made, recipes(kind)[0])


@pytest.mark.parametrize("average", [{"ema": 0.9}, {"average_from": 0.5}], ids=str)
def test_trained_alone_a_recipe_clips_accumulates_and_averages_as_its_lane(average: dict[str, float]) -> None:
    recipe = replace(BASE, clip=0.5, accumulate=2, l1=1e-3, l1_step="proximal", **average)
    made = task(KINDS["images, residual"])
    plans = {str(recipe.structure()): plan("packed")}
    cohort = Cohort(Engine(made, 3, threads=1, dtype=torch.float64, plans=plans), [recipe, recipe], [0])
    cohort.advance(1.0)
    assert_trains_alone_as_in_lanes(cohort, made, recipe)


class Augmented(Dataset[tuple[Tensor, int]]):
    """Rows that come with noise of their own each time they are read."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return X[row] + 0.1 * torch.randn(12), int(LABELS[row])


def augmented(workers: int) -> Cohort:
    """Two structures, a cool-down and two repeats of rows that are read by `workers`."""
    loader = DataLoader(Augmented(), num_workers=workers)
    made = Task(lambda: perceptron(4), loader)
    lanes = [BASE, replace(BASE, l2=0.1), replace(BASE, batch_size=10)]
    plans = {str(lane.structure()): plan("packed") for lane in lanes}
    cohort = Cohort(Engine(made, 3, threads=1, plans=plans), lanes, [0, 1])
    cohort.advance(0.3)
    cohort.cool_down(0.1)
    cohort.evaluate()
    cohort.advance(0.5)
    cohort.evaluate()
    return cohort


@pytest.mark.slow
def test_rows_that_are_read_are_the_same_with_any_number_of_workers() -> None:
    alone, helped = augmented(0), augmented(2)
    assert alone.curves == helped.curves
    assert alone.curves[0, 0] != alone.curves[0, 1]


def test_rows_that_are_read_train_as_those_in_memory() -> None:
    class Stored(Augmented):
        def __getitem__(self, row: int) -> tuple[Tensor, int]:
            return X[row], int(LABELS[row])

    found = []
    for data in (Stored(), (X, LABELS)):
        plans = {str(BASE.structure()): plan("packed")}
        made = Task(lambda: perceptron(4), data)
        cohort = Cohort(Engine(made, 3, threads=1, plans=plans), [BASE, replace(BASE, l2=0.1)], [0])
        cohort.advance(0.5)
        cohort.evaluate()
        found.append(cohort.curves)
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["next token, transformer", "named inputs"])
def test_compiled_is_packed(name: str) -> None:
    compiled, packed = run(KINDS[name], "compiled"), run(KINDS[name], "packed")
    for candidate in range(3):
        assert distance(weights(compiled, candidate), weights(packed, candidate)) < TOLERANCE


def test_metrics_are_what_they_say() -> None:
    cohort = run(KINDS["two numbers"], "packed")
    repeat = cohort.engine.repeat(0)
    x, y = repeat.rows(repeat.split.valid, torch.float64, torch.device("cpu"))
    model = cohort.engine.new_model(0)
    model.load_state_dict(weights(cohort, 0))
    with torch.no_grad():
        errors = model.eval()(x) - y
    # In the data's own unit.
    sizes = errors.abs() * repeat.target_scale.std
    assert cohort.evaluate().metric[0, 0] == pytest.approx(-sizes.mean().item(), abs=1e-12)


def test_scores_of_batches_come_in_batches_of_nearly_one_size() -> None:
    cohort = run(KINDS["own objective of batches"], "packed")
    (group,) = cohort.groups
    found = cohort.test_rows([0])[0]
    assert found.shape == (1, 16)  # as many as there are test rows, fewer than the 32 batches wished for
    assert not group.prepared.step.objective.by_row
