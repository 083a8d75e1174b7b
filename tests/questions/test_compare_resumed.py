"""`lanewise compare` with a path as people write it, stopped and gone on with from another folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lanewise import cli
from lanewise.lanes.packs.plan import Plan
from lanewise.questions import side_by_side
from lanewise.recipe.file import read
from lanewise.record.checkpoint import Keeps
from lanewise.verdict.references import References

RECIPE = "lanewise: 1\noptimizer: sgd(lr={rate})\nbatch_size: 16\nepochs: 1\n"
EAGER = Plan(packed=True, compiled=False, width=4, workers=1, threads=1, why="given")


def answer(folder: Path) -> dict[str, Any]:
    """What is on record of the answer, without what was timed."""
    found = json.loads((folder / "verdict.json").read_text())
    return {name: value for name, value in found.items() if name != "seconds"}


def test_from_another_folder_the_answer_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What simple models score depends on the data alone, and scikit-learn takes longer to import than this to run.
    monkeypatch.setattr(side_by_side, "references_of", lambda *given, **options: References())
    random = np.random.default_rng(0)
    x = random.normal(size=(48, 4)).astype(np.float32)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", x=x, y=(x[:, 0] > 0).astype(int))
    for name, rate in (("slow", 0.01), ("fast", 0.3)):
        Path(f"{name}.yaml").write_text(RECIPE.format(rate=rate))
    words = ["compare", "slow.yaml", "fast.yaml", "--data", "mine.npz", "--model", "mlp:4", "--repeats", "2"]
    plans = {str(read(f"{name}.yaml")[0].structure()): EAGER.to_dict() for name in ("slow", "fast")}
    Path("engine.json").write_text(json.dumps(plans))
    words += ["--threads", "1", "--engine", "engine.json", "--json"]
    whole = CliRunner().invoke(cli.app, [*words, "--out", "whole"])
    assert whole.exit_code == 0, whole.output

    save = Keeps.save

    def stop_after(checkpointer: Keeps) -> None:
        save(checkpointer)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Keeps, "due", lambda checkpointer: True)
        patched.setattr(Keeps, "save", stop_after)
        stopped = CliRunner().invoke(cli.app, [*words, "--out", "cut"])
    assert stopped.exit_code == 130, stopped.output
    assert not (tmp_path / "cut" / "verdict.json").exists()

    monkeypatch.chdir(tmp_path / "elsewhere")
    resumed = CliRunner().invoke(cli.app, ["resume", "../cut", "--json"])
    assert resumed.exit_code == 0, resumed.output
    assert answer(tmp_path / "cut") == answer(tmp_path / "whole")
    for file in ("traces.parquet", "best.yaml"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert json.loads(resumed.stdout)["data"] == "mine.npz"
