"""A checkpoint whose checksum fits but whose content does not: it is passed over, and the one before is taken."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from torch import Tensor

import lanewise as lw
from lanewise.record.checkpoint import META, Checkpoints
from lanewise.task.task import Task
from tests.record.records import model, record, rows
from tests.record.test_resume import Listens, copy_of, cut

__all__ = ["cut"]


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], object]) -> None:
    """Put a checkpoint with other content, and the checksum that fits it, in the place of `path`."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    data, tensors = (
        json.loads(json.loads(content[8 : 8 + length])["__metadata__"][META]),
        safetensors.torch.load(content),
    )
    change(data, tensors)
    content = safetensors.torch.save(tensors, {META: json.dumps(data)})
    path.unlink()
    number = path.name.partition("-")[0]
    path.with_name(f"{number}-{hashlib.sha256(content).hexdigest()}.safetensors").write_bytes(content)


SPOILT: dict[str, Callable[[dict[str, Any], dict[str, Tensor]], object]] = {
    "a text for a number": lambda data, _: data["candidates"][0].update(loss="low"),
    "a number out of range": lambda data, _: data.update(done=7.0),
    "no such candidate": lambda data, _: data["own"].append(99),
    "a field less": lambda data, _: data.pop("rungs"),
    "an unknown call": lambda data, _: data["journal"].append(["conquer", 1]),
    "draws without end": lambda data, _: data["journal"].append(["ask", 10**12, 0]),
    "strides that ask for all memory": lambda data, _: data["cohort"]["groups"][0][0]["blocks"][0]["strides"][
        0
    ].__setitem__(0, 10**12),
    "another step": lambda data, _: data["cohort"]["groups"][0][0].update(step=10**9),
    "a tensor less": lambda _, tensors: tensors.pop(sorted(tensors)[0]),
    "a tensor of another type": lambda _, tensors: tensors.update({(name := sorted(tensors)[0]): tensors[name].int()}),
    "a list": lambda data, _: data.update(cohort=[]),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_content_that_does_not_fit_is_noticed_and_the_one_before_is_taken(
    spoilt: str, cut: dict[str, list[Path]], tmp_path: Path
) -> None:
    run = copy_of(cut["packed"][-30], tmp_path)
    newest, *_ = Checkpoints(run / "checkpoints").paths()
    rewritten(newest, SPOILT[spoilt])
    observer = Listens()
    lw.resume(run, Task(model, rows()), observer=observer)
    (line,) = [note for note in observer.notes if "going back to the one before" in note]
    assert line.startswith(newest.name.partition("-")[0])
    assert record(run) == record(cut["packed"][-1])


def test_where_no_content_fits_the_race_starts_again(cut: dict[str, list[Path]], tmp_path: Path) -> None:
    run = copy_of(cut["packed"][-20], tmp_path)
    for path in Checkpoints(run / "checkpoints").paths():
        # The last thing that is restored: all before it must be undone.
        rewritten(path, lambda data, _: data.update(last="high"))
    observer = Listens()
    lw.resume(run, Task(model, rows()), observer=observer)
    assert "resuming from the start: there is no complete checkpoint" in observer.notes
    assert record(run) == record(cut["packed"][-1])
