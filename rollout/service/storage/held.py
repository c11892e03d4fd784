"""Groups of odd sizes, held until some of them make up one whole group of their environment's size."""

from dataclasses import dataclass, field

from .batching import Waiting, counts_that_sum


@dataclass
class HeldGroups:
    """The groups of each environment that are shorter or longer than its group size, oldest first."""

    _groups: dict[int, list[tuple[Waiting, float]]] = field(default_factory=dict)

    def add(self, env_id: int, group: Waiting, now: float) -> None:
        """Hold ``group``, which arrived at the time ``now``."""
        self._groups.setdefault(env_id, []).append((group, now))

    def complete(self, env_id: int, group_size: int) -> list[Waiting]:
        """Take groups out that have ``group_size`` sequences together, the oldest first; empty if there are none."""
        held = [group for group, _ in self._groups.get(env_id, [])]
        chosen, room = [], group_size
        for group in held:
            if group.sequences <= room:
                chosen.append(group)
                room -= group.sequences
        if room:
            chosen = self._exact(held, group_size)
        self._remove(env_id, chosen)
        return chosen

    def overdue(self, since: float) -> list[Waiting]:
        """Take all groups out that arrived before the time ``since``."""
        found = []
        for env_id, held in list(self._groups.items()):
            late = [group for group, arrived in held if arrived < since]
            self._remove(env_id, late)
            found += late
        return sorted(found)

    def sequences(self, env_id: int) -> int:
        """The sequences that are held of an environment."""
        return sum(group.sequences for group, _ in self._groups.get(env_id, []))

    def __len__(self) -> int:
        """How many groups are held."""
        return sum(map(len, self._groups.values()))

    def _exact(self, held: list[Waiting], group_size: int) -> list[Waiting]:
        if sum(group.sequences for group in held) < group_size:
            return []
        left: dict[int, int] = {}
        for group in held:
            left[group.sequences] = left.get(group.sequences, 0) + 1
        counts = counts_that_sum(left, group_size, exactly=True) or {}
        chosen = []
        for group in held:
            if counts.get(group.sequences, 0):
                counts[group.sequences] -= 1
                chosen.append(group)
        return chosen

    def _remove(self, env_id: int, chosen: list[Waiting]) -> None:
        gone = {group.number for group in chosen}
        kept = [entry for entry in self._groups.get(env_id, []) if entry[0].number not in gone]
        if kept:
            self._groups[env_id] = kept
        else:
            self._groups.pop(env_id, None)
