"""What stays of a finished race: what every lane did, the winner's recipe, the verdict."""

from collections.abc import Sequence

from lanewise.recipe_file import save
from lanewise.study import traces
from lanewise.study.candidate import Candidate
from lanewise.study.folder import RunFolder
from lanewise.study.verdict import Verdict
from lanewise.task import Task


def write_results(
    folder: RunFolder, task: Task, candidates: Sequence[Candidate], confirmed: Sequence[Candidate], verdict: Verdict
) -> None:
    """Write `traces.parquet`, `candidates.parquet` and `best.yaml`."""
    phases = ((traces.RACE, candidates), (traces.CONFIRMATION, confirmed))
    traces.write(traces.traces(phases, verdict.kind), folder.traces)
    traces.write(traces.table_of(candidates, confirmed, verdict.kind), folder.candidates)
    save(verdict.winner, folder.best, task.names)
