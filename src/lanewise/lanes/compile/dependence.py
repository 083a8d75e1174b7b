"""Which tensors of a pass depend on some of its inputs, and which operations write to which."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lanewise.lanes.compile.torch_parts import DispatchMode, tree_leaves


@dataclass(frozen=True)
class Operation:
    """What an operation read, made and wrote to, as places in memory.

    Attributes:
        within: the calls that it ran in, outermost first.
    """

    reads: frozenset[int]
    makes: frozenset[int]
    writes: frozenset[int]
    within: tuple[int, ...]


@dataclass
class Calls:
    """The calls that the pass is in, outermost first; whoever calls keeps it."""

    inside: list[int] = field(default_factory=list)


def place(tensor: Tensor) -> int:
    """Where the memory of `tensor` begins, the same for all of its views; 0 for an empty one."""
    return tensor.untyped_storage().data_ptr()


class Dependence(DispatchMode):
    """Within it, follows what depends on the tensors given to `follow`, memory by memory.

    Attributes:
        operations: all of them in order.
    """

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls
        self._depends: set[int] = set()
        # No memory may be used a second time while places stand for tensors.
        self._alive: list[Any] = []
        self.operations: list[Operation] = []

    def follow(self, tensors: Iterable[Tensor]) -> None:
        """Let `tensors`, and whatever is computed from them, depend."""
        self._depends |= {place(tensor) for tensor in tensors} - {0}

    def depends(self, tensor: Tensor) -> bool:
        """Whether `tensor` was computed from one that is followed."""
        return place(tensor) in self._depends

    def returned(self, tensors: Iterable[Tensor]) -> None:
        """Note that the innermost call returns `tensors`, be they new or not."""
        places = frozenset(map(place, tensors)) - {0}
        self.operations.append(Operation(frozenset(), places, frozenset(), tuple(self._calls.inside)))

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = function(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
        writes = frozenset(place(leaf) for leaf in self._changed(function, args, kwargs)) - {0}
        self._alive += [given, made]
        reads = frozenset(map(place, given)) - {0}
        makes = (frozenset(map(place, made)) | writes) - {0}
        if reads & self._depends:
            self._depends |= makes
        self.operations.append(Operation(reads, makes, writes, tuple(self._calls.inside)))
        return found

    @staticmethod
    def _changed(function: Any, args: Any, kwargs: Any) -> list[Tensor]:
        """The tensors that an operation says it writes to."""
        found = []
        for at, argument in enumerate(function._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                value = args[at] if at < len(args) else kwargs.get(argument.name)
                found += [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
        return found
