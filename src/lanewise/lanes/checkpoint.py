"""What must be kept of a cohort for another process to go on with it, bit for bit.

Initial weights, batches, draws and tables follow from the recipes and the study's seed, so it is the states of the
blocks and their means, the losses not yet averaged, what plateaus remember and have changed, and the best of lanes that
may stop early.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import InputError
from lanewise.lanes.cohort import Cohort, Group
from lanewise.lanes.pack import Block, Pack
from lanewise.lanes.stopping import Stopping
from lanewise.parts.early_stopping import StoppingState
from lanewise.parts.schedules import PlateauState


def state_of(cohort: Cohort) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, plain data) of `cohort` as it stands between two chunks of steps; `restore` takes both."""
    tensors: dict[str, Tensor] = {}
    groups = [
        [_pack_state(group, at, f"{number}.{at}", tensors) for at in range(len(group.packs))]
        for number, group in enumerate(cohort.groups)
    ]
    data = {
        "live": cohort.live,
        "progress": cohort.progress,
        "curves": [[*key, points] for key, points in cohort.curves.items()],
        "diverged": [[*key, step] for key, step in cohort.diverged.items()],
        "groups": groups,
    }
    return tensors, data


def _pack_state(group: Group, at: int, where: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    pack, plateaus = group.packs[at], group.plateaus[at]
    blocks = []
    for number, block in enumerate(pack.blocks):
        for leaf, tensor in enumerate(block.state):
            tensors[f"{where}.{number}.{leaf}"] = kept(tensor)
        for leaf, tensor in enumerate(block.mean):
            tensors[f"{where}.{number}.mean.{leaf}"] = kept(tensor)
        if block.losses:
            tensors[f"{where}.{number}.losses"] = kept(torch.cat(block.losses))
        strides, mean_strides = ([leaf.stride() for leaf in leaves] for leaves in (block.state, block.mean))
        blocks.append(
            {"candidates": block.candidates, "strides": strides, "mean_strides": mean_strides, "taken": block.taken}
        )
    for candidate, heard in plateaus.items():
        if any(one.state.factor != 1.0 for one in heard.listening):
            tensors[f"{where}.table.{candidate}"] = torch.from_numpy(np.ascontiguousarray(pack.tables[candidate]))
    for candidate, lane in group.stopping[at].items():
        best = [*lane.state, *([] if lane.row is None else [lane.row])]
        tensors |= {f"{where}.best.{candidate}.{leaf}": kept(tensor) for leaf, tensor in enumerate(best)}
    return {
        "step": pack.step,
        "diverged": list(pack.diverged.items()),
        "blocks": blocks,
        "plateaus": [[c, [asdict(one.state) for one in heard.listening]] for c, heard in plateaus.items()],
        "stopping": [
            [c, asdict(lane.heard), lane.metric, lane.ended, len(lane.state)] for c, lane in group.stopping[at].items()
        ],
    }


def restore(cohort: Cohort, tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    """Bring `cohort`, just made of the same recipes by an engine with the same plans, to where `state_of` saw one.

    Raises:
        InputError: the tensors are those of another model.
    """
    cohort.live = list(data["live"])
    cohort.progress = data["progress"]
    cohort.curves = {(c, repeat): [_point(point) for point in points] for c, repeat, points in data["curves"]}
    cohort.diverged = {(candidate, repeat): step for candidate, repeat, step in data["diverged"]}
    for number, (group, packs) in enumerate(zip(cohort.groups, data["groups"], strict=True)):
        for at, pack in enumerate(packs):
            _restore_pack(group, at, f"{number}.{at}", tensors, pack)


def _point(values: list[float]) -> tuple[float, float, float, float]:
    progress, training, validation, metric = values
    return progress, training, validation, metric


def _restore_pack(group: Group, at: int, where: str, tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    pack = group.packs[at]
    pack.step, pack.diverged = data["step"], dict(data["diverged"])
    for candidate, states in data["plateaus"]:
        for one, state in zip(group.plateaus[at][candidate].listening, states, strict=True):
            one.state = PlateauState(**state)
        if (table := tensors.get(f"{where}.table.{candidate}")) is not None:
            pack.tables = pack.tables | {candidate: table.numpy().copy()}
    group.stopping[at] = {
        candidate: _stopping(group.stopping[at][candidate], f"{where}.best.{candidate}", tensors, pack.device, *rest)
        for candidate, *rest in data.get("stopping", [])
    }
    pack.blocks = [_block(pack, block, f"{where}.{number}", tensors) for number, block in enumerate(data["blocks"])]
    if any(len(block.state[0]) > max(pack.width, pack.least) for block in pack.blocks):
        # Memory ran out after this was written, and the plan has been for fewer lanes at a time since.
        pack.narrow(pack.width, pack.least)


def _block(pack: Pack, data: dict[str, Any], where: str, tensors: dict[str, Tensor]) -> Block:
    names = tuple(data["candidates"])
    state, mean = (
        [laid_out(tensors[f"{where}{leaf}"], strides).to(pack.device) for leaf, strides in enumerate(every)]
        for where, every in ((f"{where}.", data["strides"]), (f"{where}.mean.", data["mean_strides"]))
    )
    fresh = pack.blocks[0].state
    if len(state) != len(fresh) or not all(map(fits, state, fresh)):
        raise InputError("checkpoint: its tensors do not fit the model, which must have changed since")
    losses = tensors.get(f"{where}.losses")
    pending = [] if losses is None else [losses.clone().to(pack.device)]
    return Block(names, state, pack.table_of(names), pending, mean=mean, taken=data["taken"])


def _stopping(
    fresh: Stopping,
    where: str,
    tensors: dict[str, Tensor],
    device: torch.device,
    heard: dict[str, Any],
    metric: float,
    ended: bool,
    leaves: int,
) -> Stopping:
    best = [tensors[f"{where}.{leaf}"].clone().to(device) for leaf in range(leaves + 1)] if leaves else []
    row = best.pop() if best else None
    return Stopping(fresh.patience, StoppingState(**heard), metric, best, row, ended)


def fits(one: Tensor, fresh: Tensor) -> bool:
    """Whether a leaf can be that of a lane of today's model; bytes, of attributes, may be more or fewer."""
    as_bytes = one.dtype == fresh.dtype == torch.uint8 and one.ndim == fresh.ndim == 2
    return as_bytes or one.shape[1:] == fresh.shape[1:]


def kept(tensor: Tensor) -> Tensor:
    """A contiguous copy of `tensor` on the CPU that shares memory with nothing."""
    return tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)


def laid_out(stored: Tensor, strides: list[int]) -> Tensor:
    """A copy of `stored` that lies in memory by `strides`, as the tensor did that it was made of.

    What a matrix product rounds to can depend on how its factors lie in memory.

    >>> laid_out(torch.arange(6.0).view(2, 3), [1, 2]).stride()
    (1, 2)
    """
    shape = stored.shape
    for axis, (length, stride) in enumerate(zip(shape, strides, strict=True)):
        if length > 1 and not stride:
            stored = stored.narrow(axis, 0, 1)
    return torch.empty_strided(stored.shape, strides, dtype=stored.dtype).copy_(stored).expand(shape)
