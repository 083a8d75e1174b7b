"""A module of a user's own parts, as text: tests write it where `--import` or a fresh Python finds it."""

SCHEDULE = """
@lw.register
@dataclass(frozen=True)
class SlowStart(lw.Schedule):
    floor: float = lw.numeric(0.1, low=0.0, high=1.0)

    def factor(self, step, steps, run):
        return self.floor + (1 - self.floor) * step / steps
"""
OPTIMIZER = """
@lw.register
@dataclass(frozen=True)
class HeavyBall(lw.Optimizer):
    lr: float = lw.numeric(0.1, low=0.0, timed=True)
    beta: float = lw.numeric(0.9, low=0.0, high=1.0, high_open=True, timed=True)

    def init(self, param):
        return {"speed": torch.zeros_like(param)}

    def update(self, param, grad, state, n, t):
        speed = n["beta"] * state["speed"] - n["lr"] * grad
        return param + speed, {"speed": speed}
"""
PRUNER = """
@lw.register
def keep_two(scores, progress, live, compute):
    return live[np.argsort(scores[-1][live].mean(axis=1))][:2]
"""
METRIC = """
@lw.register(fraction=True)
def calm(outputs, targets):
    return (outputs.abs().amax(-1) < 3).float()
"""
HEAD = "from dataclasses import dataclass\n\nimport numpy as np\nimport torch\n\nimport lanewise as lw\n"
ALL = HEAD + SCHEDULE + OPTIMIZER + PRUNER + METRIC
SPACE = """lanewise: 1
optimizer: heavy_ball(lr=log(0.001, 0.05) * choice(slow_start(), cosine()), beta=0.5)
batch_size: 128
epochs: 4
"""
