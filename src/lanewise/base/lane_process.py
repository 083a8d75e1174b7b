"""All that the package changes in the process it runs in.

`prepare_process` makes the changes that last. Importing `lanewise` sets MKL_CBWR alone
(`lanewise.base.process.before_torch`), and using its parts changes nothing more. These
changes are undone when the work that they are for is done:

- while a program is compiled: the environment variables `TORCHINDUCTOR_CACHE_DIR` and `TRITON_CACHE_DIR`
  (`lanewise.lanes.compile.torch_cache`) and what Inductor does with pools and the ends of loops
  (`lanewise.lanes.compile.capture`);
- in the workers' own threads: the number of torch threads (`lanewise.lanes.machine.workers`);
- warning filters, within `warnings.catch_warnings` only.

The command line, whose process is its own, also sets the number of torch threads (`lanewise.cli.training`).
"""

import ctypes
import warnings
from pathlib import Path

import torch

from lanewise.base.dynamo import leave_out_dynamo
from lanewise.base.process import before_torch

MKL_CBWR_OFF = 1
"""What `mkl_cbwr_get` gives where MKL may choose by addresses, as mkl_types.h has it."""
MKL_TOO_LATE = (
    "torch multiplied matrices before lanewise was imported, so MKL may add up by addresses and a lane's "
    "last bits may depend on its place: import lanewise first, or set MKL_CBWR=AUTO before Python starts"
)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 1 << 30


def prepare_process() -> None:
    """Make the process fit for lanes. `Task` and `Engine` call it when they are made; another call changes nothing.

    - `MKL_CBWR=AUTO` in the environment, unless it is set. MKL otherwise chooses how to add up a product by the address
      its matrices happen to have, so that a lane's last bits would depend on its place in the pack. MKL reads the
      variable at its first product in a process and refuses any change after (`mkl_cbwr_set` returns
      MKL_CBWR_ERR_MODE_CHANGE_FAILURE); it costs no time.
    - glibc keeps freed memory, see `keep_freed_memory`.
    - `torch.func.grad` does without `torch._dynamo`, see `lanewise.base.dynamo`.
    - torch's warning that `vmap` loops inside some operation is ignored: whether packing pays is measured.
    """
    before_torch()
    keep_freed_memory()
    leave_out_dynamo()
    warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented")


def adds_by_address() -> bool:
    """Whether MKL may choose how to add up a product by the addresses of its matrices.

    So it is in a process whose first product came before `prepare_process`. Where torch was built without MKL,
    or with one that does not tell its mode, the answer is no.
    """
    library = next(iter(sorted((Path(torch.__file__).parent / "lib").glob("*torch_cpu.*"))), None)
    try:
        mkl = ctypes.CDLL(str(library))
        # Built into torch MKL exports its inner names only, as a library of its own the documented one.
        mode = getattr(mkl, "mkl_serv_cbwr_get", None) or mkl.mkl_cbwr_get
    except (OSError, AttributeError):
        return False
    return int(mode(1)) == MKL_CBWR_OFF


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks up to 1 GiB instead of handing them back to the kernel at every step.

    Mapping fresh pages is half the cost of a wide step otherwise. Does nothing with another C library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def give_back_memory() -> None:
    """Hand freed blocks back to the kernel: what one thread has freed cannot serve another. Only with glibc."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return
    trim(0)
