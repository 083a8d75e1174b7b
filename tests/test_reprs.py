"""What users print is one readable line or block: no address, no page of tensors."""

import re
from pathlib import Path

import torch
from torch import nn

import lanewise as lw
from lanewise.predictor import save_model
from lanewise.train import train

ADDRESS = re.compile(r" at 0x[0-9a-f]+|tensor\(")


def test_everything_public_prints_readably(tmp_path: Path) -> None:
    x = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))
    task = lw.Task(lambda: nn.Linear(6, 1), (x, x[:, 0] + 1))
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.1, 1) * lw.Cosine()), batch_size=16, epochs=1)
    race = lw.race(task, space, candidates=2, repeats=2, generations=1, finalists=2, confirm=2)
    trained = train(task, race.winner)
    save_model(trained, tmp_path / "m.safetensors")
    net = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    several = lw.Task(lambda: nn.Bilinear(6, 6, 1), ((x, x), x[:, 0]))
    things = [
        *(task, several, space, race, race.winner, race.verdict, race.study, trained, trained.scale),
        *(trained.target_scale, task.objective, lw.load_model(tmp_path / "m.safetensors", lambda: nn.Linear(6, 1))),
        *(lw.Penalty(net, l2=0.1), lw.LRScheduler(optimizer, lw.Cosine(), 10), lw.AveragedWeights(net)),
        *(lw.TorchOptimizer(net.parameters(), lw.SGD(lr=0.1)), lw.classic(), lw.choice(1, 2), lw.Cosine()),
    ]
    for thing in things:
        for told in (str(thing), repr(thing)):
            assert not ADDRESS.search(told), told
            assert len(told) < 1500, told
    assert repr(task) == "Task(model <lambda>, data arrays: 80 rows of [6], targets: number; regression, by R2)"
    assert repr(space) == "Recipe(optimizer=sgd(lr=log(0.1, 1) * cosine()), batch_size=16, epochs=1)"
    assert str(race) == str(race.verdict)
