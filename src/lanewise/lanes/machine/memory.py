"""How much memory there is, and what running out of it looks like."""

import os
from pathlib import Path

import torch

USABLE = 0.7
"""Share of the memory there is that lanes may plan to take: libraries, data and other processes need some, too."""


def available_bytes(device: torch.device) -> int | None:
    """Bytes of memory that are free on `device`, within the limits set on this process; None where nobody knows."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch's own allocator keeps for later tensors is free to these.
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = [number for number in (_free_in_system(), _free_in_group()) if number is not None]
    return min(found) if found else None


def _free_in_system() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _free_in_group() -> int | None:
    """What a container's limit leaves."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None


def resident_bytes() -> int | None:
    """Bytes of memory that this process has now; None where nobody knows."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that there was not enough memory, in any of the ways in which torch says so."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
