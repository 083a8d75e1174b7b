"""`lanewise` in a process of its own that has imported everything already: for tests that need a fresh process often.

A server imports the libraries once and forks for each call, before any of them has computed anything. What a start
itself does (imports, their order, their time) is tested elsewhere, in processes from nothing.
"""

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SERVER = """
import json, os, sys
import lanewise as lw
from lanewise.cli import main
[getattr(lw, name) for name in lw.__all__]
import lanewise.cli.racing, lanewise.cli.training, lanewise.cli.questions, lanewise.report.page.race, lanewise.train
for line in sys.stdin:
    words, folder, environment, places = json.loads(line)
    child = os.fork()
    if not child:
        for number, place in enumerate(places):
            os.dup2(os.open(place, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
        os.chdir(folder)
        os.environ.update(environment)
        sys.argv = ["lanewise", *words]
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@cache
def server() -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def lanewise(folder: Path, *words: str, **environment: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of `lanewise words` in `folder`."""
    running = server()
    assert running.stdin
    assert running.stdout
    with tempfile.TemporaryDirectory() as place:
        places = [str(Path(place) / name) for name in ("in", "out", "error")]
        running.stdin.write(json.dumps([words, str(folder), environment, places]) + "\n")
        running.stdin.flush()
        status = running.stdout.readline()
        assert status, "the server ended"
        out, error = (Path(name).read_text(encoding="utf-8") for name in places[1:])
    return int(status), out, error
