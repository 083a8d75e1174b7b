"""What stays of a finished race: what every lane did, the winner's recipe, the verdict."""

from collections.abc import Sequence

from lanewise.recipe.file import save
from lanewise.record import traces
from lanewise.record.candidate import Candidate
from lanewise.record.folder import RunFolder
from lanewise.task.task import Task
from lanewise.verdict.verdict import Verdict


def write_results(
    folder: RunFolder, task: Task, candidates: Sequence[Candidate], confirmed: Sequence[Candidate], verdict: Verdict
) -> None:
    """Write `traces.parquet`, `candidates.parquet` and `best.yaml`."""
    phases = ((traces.RACE, candidates), (traces.CONFIRMATION, confirmed))
    traces.write(traces.traces(phases, verdict.kind), folder.traces)
    traces.write(traces.table_of(candidates, confirmed, verdict.kind), folder.candidates)
    save(verdict.winner, folder.best, task.names)
