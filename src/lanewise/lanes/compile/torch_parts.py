"""Private parts of torch that lanes use: flat lists of nested tensors, and watching every operation."""

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

__all__ = ["DispatchMode", "tree_flatten", "tree_leaves", "tree_map", "tree_unflatten"]


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is on, every operation goes through its `__torch_dispatch__`."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would import its compiler only to make it leave this mode alone.
        return False
