"""What must be kept of a cohort for another process to go on with it, bit for bit.

Initial weights, batches, draws and tables follow from the recipes and the study's seed, so it is the states of the
blocks and their means, the losses not yet averaged, what plateaus remember and have changed, and the best of lanes that
may stop early.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.base.plain_data import checked, number, several, whole
from lanewise.errors import InputError
from lanewise.lanes.packs.pack import Block, Pack
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.early_stopping import Stopping
from lanewise.lanes.training.groups import Group
from lanewise.parts.early_stopping import StoppingState
from lanewise.parts.schedules import PlateauState


def state_of(cohort: Cohort) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, plain data) of `cohort` as it stands between two chunks of steps; `restore` takes both."""
    tensors: dict[str, Tensor] = {}
    groups = [
        [_pack_state(group, at, f"{place}.{at}", tensors) for at in range(len(group.packs))]
        for place, group in enumerate(cohort.groups)
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
    for place, block in enumerate(pack.blocks):
        for leaf, tensor in enumerate(block.state):
            tensors[f"{where}.{place}.{leaf}"] = kept(tensor)
        for leaf, tensor in enumerate(block.mean):
            tensors[f"{where}.{place}.mean.{leaf}"] = kept(tensor)
        if block.losses:
            tensors[f"{where}.{place}.losses"] = kept(torch.cat(block.losses))
        strides, mean_strides = ([leaf.stride() for leaf in leaves] for leaves in (block.state, block.mean))
        blocks.append(
            {"candidates": block.candidates, "strides": strides, "mean_strides": mean_strides, "taken": block.taken}
        )
    for candidate, measured in plateaus.items():
        if any(one.state.factor != 1.0 for one in measured.active):
            tensors[f"{where}.table.{candidate}"] = torch.from_numpy(np.ascontiguousarray(pack.tables[candidate]))
    for candidate, lane in group.stopping[at].items():
        best = [*lane.state, *([] if lane.row is None else [lane.row])]
        tensors |= {f"{where}.best.{candidate}.{leaf}": kept(tensor) for leaf, tensor in enumerate(best)}
    return {
        "step": pack.step,
        "diverged": list(pack.diverged.items()),
        "blocks": blocks,
        "plateaus": [[c, [asdict(one.state) for one in measured.active]] for c, measured in plateaus.items()],
        "stopping": [
            [c, asdict(lane.seen), lane.metric, lane.ended, len(lane.state)] for c, lane in group.stopping[at].items()
        ],
    }


def restore(cohort: Cohort, tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    """Bring `cohort`, just made of the same recipes by an engine with the same plans, to where `state_of` saw one.

    Raises:
        InputError: the tensors are those of another model.
        ValueError, TypeError, KeyError: it is not what `state_of` gives of such a cohort; the cohort is then spoilt.
    """
    count = len(cohort.recipes)
    cohort.live = [whole("live", candidate, 0, count - 1) for candidate in several("live", data["live"])]
    if sorted(set(cohort.live)) != sorted(cohort.live):
        raise ValueError(f"live = {cohort.live}: must be different candidates")
    cohort.progress = number("progress", data["progress"], 0.0, 1.0)

    def lane(candidate: Any, repeat: Any) -> tuple[int, int]:
        if type(repeat) is not int or repeat not in cohort.repeats:
            raise ValueError(f"repeat = {repeat!r}: must be one of {cohort.repeats}")
        return whole("candidate", candidate, 0, count - 1), repeat

    cohort.curves = {lane(c, repeat): _curve(points) for c, repeat, points in data["curves"]}
    cohort.diverged = {lane(c, repeat): whole("step", step, 0) for c, repeat, step in data["diverged"]}
    for place, (group, packs) in enumerate(zip(cohort.groups, data["groups"], strict=True)):
        for at, pack in enumerate(several("packs", packs, len(group.packs))):
            _restore_pack(group, at, f"{place}.{at}", tensors, pack)
        if len({pack.step for pack in group.packs if pack.blocks}) > 1:
            raise ValueError("step: must be the same in all repeats")


def _curve(points: Any) -> list[tuple[float, float, float, float]]:
    if not several("curve", points):
        raise ValueError("curve: has no points")
    return [_point(point) for point in points]


def _point(values: list[float]) -> tuple[float, float, float, float]:
    progress, training, validation, metric = (number("curve", value) for value in values)
    return progress, training, validation, metric


def _restore_pack(group: Group, at: int, where: str, tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    pack = group.packs[at]
    pack.step = whole("step", data["step"], 0, group.total_steps)
    pack.diverged = {_known(pack, candidate): whole("step", step, 0) for candidate, step in data["diverged"]}
    for candidate, states in data["plateaus"]:
        for one, state in zip(group.plateaus[at][candidate].active, states, strict=True):
            one.state = checked(PlateauState(**state))
        if (table := tensors.get(f"{where}.table.{candidate}")) is not None:
            _check_like(table, torch.from_numpy(pack.tables[candidate]))
            pack.tables = pack.tables | {candidate: table.numpy().copy()}
    group.stopping[at] = {
        candidate: _stopping(group.stopping[at][candidate], f"{where}.best.{candidate}", tensors, pack.device, *rest)
        for candidate, *rest in data.get("stopping", [])
    }
    pack.blocks = [_block(pack, block, f"{where}.{place}", tensors) for place, block in enumerate(data["blocks"])]
    if len(set(pack.candidates)) != len(pack.candidates):
        raise ValueError(f"blocks: hold the candidates {pack.candidates}; must be different")
    if any(len(block.state[0]) > max(pack.width, pack.least) for block in pack.blocks):
        # Memory ran out after this was written, and the plan has been for fewer lanes at a time since.
        pack.narrow(pack.width, pack.least)


def _block(pack: Pack, data: dict[str, Any], where: str, tensors: dict[str, Tensor]) -> Block:
    names = tuple(_known(pack, candidate) for candidate in several("candidates", data["candidates"]))
    state, mean = (
        [laid_out(tensors[f"{where}{leaf}"], strides).to(pack.device) for leaf, strides in enumerate(every)]
        for where, every in ((f"{where}.", data["strides"]), (f"{where}.mean.", data["mean_strides"]))
    )
    fresh = pack.blocks[0].state
    if len(state) != len(fresh) or not all(map(fits, state, fresh)):
        raise InputError("checkpoint: its tensors do not fit the model, which must have changed since")
    lanes, taken = len(state[0]), whole("taken", data["taken"], 0)
    if lanes < len(names) or (lanes != max(len(names), pack.least) and lanes <= max(pack.width, pack.least)):
        raise ValueError(f"block: has {lanes} lanes for {len(names)} candidates")
    for leaves in (state, *([mean] if taken else [])):
        for leaf, like in zip(leaves, fresh, strict=True):
            if len(leaf) != lanes or leaf.dtype != like.dtype or not fits(leaf, like):
                raise ValueError(f"tensor: is {leaf.dtype} {list(leaf.shape)}; must be {like.dtype} of {lanes} lanes")
    if mean and not taken:
        raise ValueError("block: has a mean of no states")
    losses = tensors.get(f"{where}.losses")
    if losses is not None and (losses.ndim != 2 or losses.shape[1] != len(names) or not losses.is_floating_point()):
        raise ValueError(f"losses: have shape {list(losses.shape)}; must be [steps, {len(names)}]")
    pending = [] if losses is None else [losses.clone().to(pack.device)]
    return Block(names, state, pack.table_of(names), pending, mean=mean, taken=taken)


def _known(pack: Pack, candidate: Any) -> int:
    """`candidate` if it is one that `pack` was made of."""
    if type(candidate) is not int or candidate not in pack.tables:
        raise ValueError(f"candidate = {candidate!r}: must be one of {sorted(pack.tables)}")
    return candidate


def _check_like(found: Tensor, like: Tensor) -> None:
    """Raise unless `found` has the shape and the type of `like`."""
    if found.shape != like.shape or found.dtype != like.dtype:
        raise ValueError(f"tensor: is {found.dtype} {list(found.shape)}; must be {like.dtype} {list(like.shape)}")


def _stopping(
    fresh: Stopping,
    where: str,
    tensors: dict[str, Tensor],
    device: torch.device,
    measured: dict[str, Any],
    metric: float,
    ended: bool,
    leaves: int,
) -> Stopping:
    best = [tensors[f"{where}.{leaf}"].clone().to(device) for leaf in range(leaves + 1)] if leaves else []
    row = best.pop() if best else None
    state = checked(StoppingState(**measured))
    if type(ended) is not bool or (ended and not best):
        raise ValueError(f"stopping: ended = {ended!r}: must be true or false, and false without best weights")
    return Stopping(fresh.patience, state, number("metric", metric), best, row, ended)


WIDEST_GAPS = 16
"""Times its own size that a tensor may span in memory: some are parts of others."""


def extent(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Elements of memory from the first to the last of a tensor that lies so.

    >>> extent([2, 3], [3, 1]), extent([2, 3], [0, 1])
    (6, 3)
    """
    return 1 + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True)) if all(shape) else 0


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
    # A damaged record could ask for any amount of memory.
    most = WIDEST_GAPS * max(1, math.prod(shape))
    if any(type(stride) is not int or stride < 0 for stride in strides) or extent(shape, strides) > most:
        raise ValueError(f"strides = {strides}: must be those of a tensor {list(shape)}")
    for axis, (length, stride) in enumerate(zip(shape, strides, strict=True)):
        if length > 1 and not stride:
            stored = stored.narrow(axis, 0, 1)
    return torch.empty_strided(stored.shape, strides, dtype=stored.dtype).copy_(stored).expand(shape)
