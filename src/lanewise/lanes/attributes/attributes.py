"""What a model keeps beside parameters and buffers, and may change in a forward pass: read, compared, put back.

These are plain attributes of its modules, the lists and objects that they hold, what its functions close over, and the
globals and class attributes that its methods name. `torch.func.functional_call` knows none of them.
"""

from torch import nn

from lanewise.lanes.attributes.plain_values import Plain, overwrite, plain, rebuilt, same
from lanewise.lanes.attributes.walk import Walk, place_of


class Attributes:
    """What a model kept beside its parameters and buffers when this was made, and what has become of it.

    Attributes:
        model: whose they are. unregistered: tensors that a gradient could reach, and that no optimizer is given.
        iterators: paths of iterators.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        walk = Walk(model)
        self._first = {slot.path: (slot, slot.value, plain(slot.value, walk.registered)) for slot in walk.slots()}
        self.unregistered, self.iterators = walk.unregistered, walk.iterators

    @property
    def first(self) -> dict[str, Plain]:
        """What they were at first, by their paths."""
        return {path: value for path, (_, _, value) in self._first.items()}

    def changed(self) -> dict[str, Plain]:
        """Those that are no longer as at first, by their paths, with what they are now."""
        walk = Walk(self.model)
        found = {}
        for slot in walk.slots():
            now = plain(slot.value, walk.registered)
            if slot.path not in self._first or not same(self._first[slot.path][2], now):
                found[slot.path] = now
        return found

    def lost(self) -> list[str]:
        """Paths of what is there no longer, or has become something that is no plain data."""
        now = {slot.path for slot in Walk(self.model).slots()}
        return [path for path in self._first if path not in now]

    def put(self, values: dict[str, Plain]) -> None:
        """Let them be as at first, but for `values`, which `changed` gave."""
        walk = Walk(self.model)
        there = {slot.path: slot for slot in walk.slots()}
        for path, slot in reversed(there.items()):
            if path not in self._first and path not in values:
                slot.remove()
        for path, (slot, held, first) in self._first.items():
            value = values.get(path, first)
            now = there.get(path, slot)
            if path in there and same(plain(now.value, walk.registered, copied=False), value):
                continue
            if overwrite(held, value) or value is first:
                now.assign(held)
            else:
                now.assign(rebuilt(value))
        for path, value in values.items():
            if path not in self._first:
                if path in there:
                    there[path].assign(rebuilt(value))
                else:
                    place_of(path, walk.holders).assign(rebuilt(value))
