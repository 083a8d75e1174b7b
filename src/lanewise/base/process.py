"""What Lanewise changes in the process around it before torch is imported, and while modules are."""

import contextlib
import gc
import os
from collections.abc import Iterator


def before_torch() -> None:
    """Set MKL_CBWR=AUTO, unless the user set it.

    Otherwise MKL chooses how to add up a product by the address its matrices happen to have, so that the last bits of a
    lane depend on its place in the pack. It reads the variable at its first product in a process and refuses any change
    after that (`mkl_cbwr_set` returns MKL_CBWR_ERR_MODE_CHANGE_FAILURE). It costs no time.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO")


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause Python's garbage collector while modules are imported.

    They leave no garbage, and a full collection walks hundreds of thousands of torch's objects, which takes a quarter
    of the time of our own imports. Afterwards the collector is on again, if it was.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
