"""Damaged input of every kind that the product reads: each must be read, or refused in one line.

`python -m bench fuzz --inputs 100000 --seed 0`. A traceback is a fault; so is a message of several lines, or one that
would steer a terminal. Every input follows from the seed, its kind and its number: `--kind NAME --only NUMBER` repeats
one and shows its traceback.
"""

import argparse
import contextlib
import faulthandler
import hashlib
import io
import json
import shutil
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

import lanewise as lw
from bench import mutations
from lanewise.api import questions as comparing
from lanewise.api import resume as api
from lanewise.errors import InputError
from lanewise.lanes.packs.plan import Plan
from lanewise.predictor import save_model
from lanewise.printable import printable
from lanewise.recipe.file import load
from lanewise.recipe.language import parse
from lanewise.record.checkpoint import META
from lanewise.record.folder import RunFolder
from lanewise.record.listing import summary
from lanewise.record.reading import candidate_of
from lanewise.report.terminal import answers as answers_in_terminal
from lanewise.report.terminal import race as terminal
from lanewise.report.terminal.console import SafeConsole
from lanewise.sampling.sampler import Sampler
from lanewise.sampling.samplers import quiet
from lanewise.statistics.score_kind import ScoreKind
from lanewise.study.progress import Observer, Progress
from lanewise.task.task import Task
from lanewise.train import train

SECONDS = 20
"""For one input, at most; what takes longer is counted apart."""
SPACE = lw.Recipe(
    optimizer=lw.choice(
        lw.SGD(lr=lw.log(0.01, 1) * lw.choice(lw.Constant(), lw.Plateau(patience=0, threshold=0.5)), momentum=0.9),
        lw.Adam(lr=0.01),
    ),
    dropout=lw.uniform(0, 0.3),
    early_stopping=lw.choice("25%", "100%"),
    batch_size=12,
    epochs=2,
)
RACE: dict[str, Any] = {"candidates": 4, "repeats": 2, "generations": 2, "finalists": 2, "confirm": 2, "threads": 1}
EXPRESSIONS = (
    "0.1 * cosine(warmup=5%)",
    "sgd(lr=log(0.001, 1) * choice(constant(), linear(), cosine(warmup=5%)), momentum=uniform(0, 0.95))",
    "warmup(5%) >> cosine() >> 0.1 * restarts(period=3ep)",
    "adamw(lr=coupled(product=log(1e-7, 1e-3), ratio=log(1, 1e5)) * cosine(), weight_decay=coupled())",
    "choice(0, uniform(0.1, 0.5), integer(1, 4))",
    "piecewise([0, 50%, 100%], [1, 0.1, 0.01])",
)
RECIPE = """lanewise: 1
optimizer: sgd(lr=log(0.001, 1) * choice(constant(), linear(), cosine(warmup=5%)), momentum=uniform(0, 0.95))
l2: log(1e-6, 1e-2)
dropout: choice(0, uniform(0.1, 0.5))
norm: choice(own, layer)
penalised: [weights, biases]
batch_size: 64
epochs: 20
task: {data: digits, model: "mlp:8"}
"""
CSV = "price,size,town,sold\n" + "".join(
    f"{3 * i % 17 + 0.5},{i % 7},{'abc'[i % 3]},{2 + i % 2}\n" if i % 11 else f",{i},,2\n" for i in range(1, 40)
)


class Stops(Observer):
    """Stops a run after it has shown its progress `after` times."""

    def __init__(self, after: int) -> None:
        self.left = after

    def show(self, progress: Progress) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@dataclass
class Material:
    """Whole records to be damaged, made once in `folder`."""

    folder: Path
    task: Task = field(init=False)
    cuts: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x, y = torch.randn(120, 6, generator=generator), torch.arange(120) % 3
        np.savez(self.folder / "rows.npz", x=x.numpy(), y=y.numpy())
        self.task = Task(network, lw.load(str(self.folder / "rows.npz")))
        eager = Plan(packed=True, compiled=False, width=4, workers=1, threads=1, why="given")
        drawn = Sampler(SPACE, 0, None).ask(30, 0)
        plans = {str(recipe.structure()): eager.to_dict() for recipe in drawn}
        self.engine = self.folder / "engine.json"
        self.engine.write_text(json.dumps(plans))
        for after in (2, 5, 8):
            path = self.folder / f"cut-{after}"
            with contextlib.suppress(KeyboardInterrupt):
                self.race(path, observer=Stops(after))
            self.cuts.append(path)
        self.race(self.folder / "whole")
        self.asked = self.folder / "asked"
        recipes = {
            name: lw.Recipe(optimizer=lw.SGD(lr=lr), batch_size=12, epochs=1) for name, lr in (("a", 0.1), ("b", 0.2))
        }
        lw.compare(self.task, recipes, repeats=2, out=self.asked, threads=1)
        lw.sweep(self.task, recipes["a"], "momentum", [0.0, 0.5], repeats=2, out=self.folder / "sweep", threads=1)
        trained = train(self.task, recipes["a"])
        save_model(trained, self.folder / "model.safetensors")

    def race(self, path: Path, **more: Any) -> None:
        """A small race into the folder `path`."""
        lw.race(self.task, SPACE, out=path, checkpoint_every=0, engine=self.engine, **RACE, **more)

    @contextlib.contextmanager
    def copy(self, of: Path) -> Iterator[Path]:
        """A copy of a run's folder, for one input."""
        path = self.folder / "copy"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(of, path)
        yield path


def network() -> nn.Module:
    """A perceptron with a state of its own in each layer."""
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4, 3))


def expressions(material: Material, random: Random) -> None:
    """An expression of a recipe, as on the command line."""
    str(parse(mutations.text(random, random.choice(EXPRESSIONS))))


def recipes(material: Material, random: Random) -> None:
    """A recipe's YAML file."""
    load(mutations.text(random, RECIPE), "recipe")


def tables(material: Material, random: Random) -> None:
    """A CSV file, loaded and taken for a task."""
    path = material.folder / "table.csv"
    given = CSV.replace(",", random.choice(",,,;\t|"))
    path.write_bytes(mutations.content(random, given.encode(random.choice(("utf-8", "utf-8", "latin-1", "utf-16")))))
    Task("mlp:4", lw.load(str(path), target=random.choice(("sold", "price", "town"))))


def arrays(material: Material, random: Random) -> None:
    """An .npz file."""
    path = material.folder / "damaged.npz"
    path.write_bytes(mutations.content(random, (material.folder / "rows.npz").read_bytes()))
    lw.load(str(path))


def verdicts(material: Material, random: Random) -> None:
    """The verdict of a race, or the answer to a question: read, listed, and printed as `resume` does."""
    with material.copy(random.choice((material.folder / "whole", material.asked, material.folder / "sweep"))) as path:
        verdict = path / "verdict.json"
        verdict.write_bytes(mutations.json_text(random, json.loads(verdict.read_text())))
        read_and_print(path)


def read_and_print(path: Path) -> None:
    """What `lanewise list` and `lanewise resume` do with the finished run in `path`."""
    summary(path).to_dict()
    folder = RunFolder.reopened(path)
    console = SafeConsole(file=io.StringIO(), width=120)
    if folder.asked == "race":
        found: Any = api.read_verdict(folder)
        terminal.print_verdict(found, console)
    else:
        found = comparing.read_answer(folder)
        answers_in_terminal.print_answer(found, console)
    json.dumps(found.to_dict())


def settings(material: Material, random: Random) -> None:
    """`run.json`, `engine.json` or `decisions.json` of a race that goes on."""
    with material.copy(random.choice(material.cuts)) as path:
        name = random.choice(("run.json", "run.json", "run.json", "engine.json"))
        (path / name).write_bytes(mutations.json_text(random, json.loads((path / name).read_text())))
        summary(path).to_dict()
        RunFolder.reopened(path).resume_command()
        go_on(material, path, after=1)


def checkpoints(material: Material, random: Random) -> None:
    """The newest checkpoint, its checksum fitting its content, in a race that goes on to its end."""
    with material.copy(random.choice(material.cuts)) as path:
        newest = RunFolder.reopened(path).checkpoints.paths()[0]
        content = newest.read_bytes()
        if random.random() < 0.2:
            content = mutations.content(random, content)
        else:
            length = int.from_bytes(content[:8], "little")
            data = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][META])
            tensors = safetensors.torch.load(content)
            if random.random() < 0.15:
                name = random.choice(sorted(tensors))
                tensors[name] = random.choice(
                    (tensors[name].double(), tensors[name].flatten()[:1], torch.zeros(3), tensors[name][None])
                )
            else:
                data = mutations.data(random, data)
            content = safetensors.torch.save(tensors, {META: json.dumps(data)})
        newest.unlink()
        number = newest.name.partition("-")[0]
        (newest.parent / f"{number}-{hashlib.sha256(content).hexdigest()}.safetensors").write_bytes(content)
        summary(path).to_dict()
        with contextlib.suppress(InputError):
            candidate_of(RunFolder.reopened(path), random.randrange(4), 0, ScoreKind())
        go_on(material, path, after=0)


def go_on(material: Material, path: Path, after: int) -> None:
    """Resume the race in `path`, to its end or until it has shown its progress `after` times."""
    with contextlib.suppress(KeyboardInterrupt):
        lw.resume(path, material.task, observer=Stops(after))


def records(material: Material, random: Random) -> None:
    """The tables of a finished race, as `lanewise train RUN --candidate` reads them."""
    with material.copy(material.folder / "whole") as path:
        damaged = path / random.choice(("traces.parquet", "candidates.parquet"))
        damaged.write_bytes(mutations.content(random, damaged.read_bytes()))
        candidate_of(RunFolder.reopened(path), random.randrange(4), 0, ScoreKind())


def databases(material: Material, random: Random) -> None:
    """`study.db` of a race that goes on."""
    with material.copy(random.choice(material.cuts)) as path:
        database = path / "study.db"
        database.write_bytes(mutations.content(random, database.read_bytes()))
        go_on(material, path, after=1)


def models(material: Material, random: Random) -> None:
    """A trained model's file, its header or its bytes, and a prediction."""
    path = material.folder / "damaged.safetensors"
    content = (material.folder / "model.safetensors").read_bytes()
    if random.random() < 0.5:
        content = mutations.content(random, content)
    else:
        length = int.from_bytes(content[:8], "little")
        index = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["lanewise"])
        index = mutations.data(random, index)
        content = safetensors.torch.save(safetensors.torch.load(content), {"lanewise": json.dumps(index)})
    path.write_bytes(content)
    lw.load_model(path, network)(material.task.source.x[:3])


KINDS: dict[str, tuple[Callable[[Material, Random], None], float]] = {
    "expressions": (expressions, 0.4),
    "recipes": (recipes, 0.2),
    "tables": (tables, 0.15),
    "arrays": (arrays, 0.05),
    "verdicts": (verdicts, 0.1),
    "models": (models, 0.05),
    "settings": (settings, 0.02),
    "checkpoints": (checkpoints, 0.02),
    "records": (records, 0.007),
    "databases": (databases, 0.003),
}
"""What is damaged, and its share of all inputs; what takes long has a small one."""


class SlowError(Exception):
    """An input took too long."""


def stop(*_: object) -> None:
    """What the alarm does."""
    raise SlowError


def tried(kind: str, number: int, seed: int, material: Material, seconds: int = 0) -> str:
    """How input `number` of `kind` ended: `read`, `refused`, `slow` after `seconds` (0: never), or what is wrong."""
    random = Random(f"{seed} {kind} {number}")
    signal.alarm(seconds)
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            KINDS[kind][0](material, random)
    except InputError as error:
        said = str(error)
        return "refused" if "\n" not in said and printable(said) == said else f"unclear message: {said[:80]!r}"
    except SlowError:
        return "slow"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
    finally:
        signal.alarm(0)
    return "read"


def main(options: list[str] | None = None) -> None:
    """Damage inputs of all kinds and print what became of them."""
    parser = argparse.ArgumentParser(prog="python -m bench fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--only", type=int)
    asked = parser.parse_args(options or [])
    faulthandler.enable()
    signal.signal(signal.SIGALRM, stop)
    with tempfile.TemporaryDirectory() as folder:
        material = Material(Path(folder))
        if asked.only is not None:
            KINDS[asked.kind][0](material, Random(f"{asked.seed} {asked.kind} {asked.only}"))
            return
        faults = 0
        for kind in [asked.kind] if asked.kind else KINDS:
            count = asked.inputs if asked.kind else round(KINDS[kind][1] * asked.inputs)
            ends: Counter[str] = Counter()
            first: dict[str, int] = {}
            for number in range(count):
                end = tried(kind, number, asked.seed, material, SECONDS)
                ends[end] += 1
                first.setdefault(end, number)
            fine = {end: ends.pop(end, 0) for end in ("read", "refused", "slow")}
            wrong, told = sum(ends.values()), ", ".join(f"{n:,} {end}" for end, n in fine.items())
            faults += wrong
            print(f"{kind}: {count:,} inputs, {told}, {wrong} faults", flush=True)
            for end, n in ends.most_common():
                print(f"  {n} times {end} (--kind {kind} --only {first[end]})")
        print(f"faults in all: {faults}")
