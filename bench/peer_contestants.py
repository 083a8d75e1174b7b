"""The peers' side of `python -m bench peers`: run by the Python of .venv-peers, which has no Lanewise.

Arguments: an .npz file with the training rows, batch size and steps. Reads the name of a contestant per line and
answers with a line `seconds steps-of-candidates`; the contestants train the same perceptron on the same rows.
"""

import importlib.util
import itertools
import os
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LANES = 32
RATE, MOMENTUM, DROPOUT, NORM_MOMENTUM = 0.1, 0.9, 0.2, 0.1


def perceptron() -> nn.Module:
    """The model of all contestants, as in `bench.candidate_step`."""
    return nn.Sequential(
        nn.Linear(64, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(128, 10)
    )


def at_best_threads(work):
    """Seconds of `work()` with one torch thread or with all, whichever is less."""
    taken = []
    for threads in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(threads)
        taken.append(work())
    torch.set_num_threads(1)
    return min(taken)


def jax_scan(x: np.ndarray, y: np.ndarray, batch: int, steps: int):
    """Hand-written JAX: lanes by `vmap`, steps by `scan`, one shared batch and one shared dropout draw a step."""
    import jax
    import jax.numpy as jnp

    def initial(key):
        first, second, bias = jax.random.split(key, 3)
        return {
            "w1": jax.random.uniform(first, (64, 128), minval=-0.125, maxval=0.125),
            "scale": jnp.ones(128),
            "shift": jnp.zeros(128),
            "w2": jax.random.uniform(second, (128, 10), minval=-0.088, maxval=0.088),
            "b2": jax.random.uniform(bias, (10,), minval=-0.088, maxval=0.088),
        }

    def loss_of(params, inputs, targets, uniform, rate):
        hidden = inputs @ params["w1"]
        mean, var = hidden.mean(0), hidden.var(0)
        hidden = (hidden - mean) * jax.lax.rsqrt(var + 1e-5) * params["scale"] + params["shift"]
        hidden = jnp.where(uniform >= rate, jax.nn.relu(hidden) / (1 - rate), 0.0)
        log_p = jax.nn.log_softmax(hidden @ params["w2"] + params["b2"])
        return -jnp.take_along_axis(log_p, targets[:, None], 1).mean(), (mean, var * batch / (batch - 1))

    def lane_step(params, optimizer_state, stats, peak, momentum, rate, factor, inputs, targets, uniform):
        (loss, new), gradients = jax.value_and_grad(loss_of, has_aux=True)(params, inputs, targets, uniform, rate)
        optimizer_state = jax.tree.map(lambda slot, gradient: momentum * slot + gradient, optimizer_state, gradients)
        params = jax.tree.map(lambda param, slot: param - peak * factor * slot, params, optimizer_state)
        stats = jax.tree.map(lambda old, value: (1 - NORM_MOMENTUM) * old + NORM_MOMENTUM * value, stats, new)
        return params, optimizer_state, stats, loss

    pack_step = jax.vmap(lane_step, in_axes=(0, 0, 0, 0, 0, 0, None, None, None, None))

    @jax.jit
    def train(state, numbers, rows, key):
        def body(state, given):
            at, chosen, draw = given
            factor = (1 + jnp.cos(jnp.pi * at / steps)) / 2
            uniform = jax.random.uniform(draw, (batch, 128))
            *state, loss = pack_step(*state, *numbers, factor, held_x[chosen], held_y[chosen], uniform)
            return tuple(state), loss

        return jax.lax.scan(body, state, (jnp.arange(steps), rows, jax.random.split(key, steps)))

    held_x, held_y = jnp.asarray(x), jnp.asarray(y)
    params = jax.vmap(initial)(jax.random.split(jax.random.key(0), LANES))
    begin = (params, jax.tree.map(jnp.zeros_like, params), (jnp.zeros((LANES, 128)), jnp.ones((LANES, 128))))
    numbers = (jnp.full(LANES, RATE), jnp.full(LANES, MOMENTUM), jnp.full(LANES, DROPOUT))

    def run() -> tuple[float, int]:
        started = time.perf_counter()
        epochs = -(-steps // (len(x) // batch))
        orders = [np.random.permutation(len(x))[: len(x) // batch * batch].reshape(-1, batch) for _ in range(epochs)]
        state, losses = train(begin, numbers, jnp.asarray(np.concatenate(orders)[:steps]), jax.random.key(1))
        jax.block_until_ready((state, losses))
        seconds = time.perf_counter() - started
        assert float(losses[-1].mean()) < float(losses[0].mean()), "it does not learn"
        return seconds, steps * LANES

    run()  # compiles
    return run


def lightning_fit(x: np.ndarray, y: np.ndarray, batch: int, steps: int):
    """Lightning's Trainer, one candidate, with everything off that can be switched off."""
    import logging
    import warnings

    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    rows = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = perceptron()

        def training_step(self, given, index):
            return nn.functional.cross_entropy(self.model(given[0]), given[1])

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=RATE, momentum=MOMENTUM)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def fit() -> float:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(max_steps=steps, accelerator="cpu", devices=1, enable_checkpointing=False, **quiet)
        loader = DataLoader(rows, batch_size=batch, shuffle=True, drop_last=True)
        started = time.perf_counter()
        trainer.fit(Module(), loader)
        assert trainer.global_step == steps
        return time.perf_counter() - started

    return lambda: (at_best_threads(fit), steps)


def model_batch(x: np.ndarray, y: np.ndarray, batch: int, steps: int):
    """ModelBatch with 32 models and its own optimizer factory, tensors indexed, batches shared."""
    from modelbatch import ModelBatch
    from modelbatch.optimizer import OptimizerFactory

    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)

    def train() -> float:
        models = ModelBatch([perceptron().train() for _ in range(LANES)], shared_input=True)
        factory = OptimizerFactory(torch.optim.SGD, {"lr": RATE, "momentum": MOMENTUM})
        optimizer = factory.create_optimizer(models, [{"lr": RATE} for _ in range(LANES)])
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

        def batches():
            while True:
                order = torch.randperm(len(inputs))
                yield from (order[at : at + batch] for at in range(0, len(order) - batch + 1, batch))

        started = time.perf_counter()
        for rows in itertools.islice(batches(), steps):
            models.zero_grad()
            models.compute_loss(models(inputs[rows]), targets[rows], nn.functional.cross_entropy).backward()
            optimizer.step()
            scheduler.step()
        return time.perf_counter() - started

    return lambda: (at_best_threads(train), steps * LANES)


CONTESTANTS = {"jax": jax_scan, "lightning": lightning_fit, "modelbatch": model_batch}


def main() -> None:
    """Say which contestants are installed, then run those that are asked for."""
    held = np.load(sys.argv[1])
    batch, steps = int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print; the answers must stand alone
    there = [name for name in CONTESTANTS if importlib.util.find_spec(name)]
    print(*there, file=answers, flush=True)
    made = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in made:
            made[name] = CONTESTANTS[name](held["x"], held["y"], batch, steps)
        print(*made[name](), file=answers, flush=True)


if __name__ == "__main__":
    main()
