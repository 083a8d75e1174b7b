"""The studies that the tests of the report share: each is run once."""

import pytest

from lanewise.study.race import Study
from tests.report.studies import DIVERGING, Recorder, finished


@pytest.fixture(scope="session")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def study(recorder: Recorder) -> Study:
    """A race in which some recipes left early and two were confirmed."""
    done = finished(observer=recorder)
    assert len(done.verdict.finalists) > 1
    assert any(candidate.stopped_at for candidate in done.candidates)
    return done


@pytest.fixture(scope="session")
def diverged() -> Study:
    """A race in which some recipes diverged and only one was left to confirm."""
    done = finished(DIVERGING, generations=1)
    assert len(done.verdict.finalists) == 1
    assert any(candidate.diverged for candidate in done.candidates)
    return done
