import asyncio
from pathlib import Path

from lachesis.rollout.service.storage.database import Database
from lachesis.rollout.service.storage.quarantine import Quarantine


def test_the_quarantine_keeps_the_newest_and_of_each_the_beginning(tmp_path: Path) -> None:
    async def work() -> None:
        quarantine = Quarantine(database)
        for n in range(103):
            await quarantine.add(f"reason {n}", b"x" * (2 << 20) if n == 102 else b"%d" % n)
        kept = await quarantine.newest()
        assert [one.reason for one in kept] == [f"reason {n}" for n in range(102, 2, -1)]
        assert (kept[0].start, kept[0].size) == (b"x" * 2000, 1 << 20)
        assert (kept[1].start, kept[1].size) == (b"101", 3)

    database = Database(tmp_path / "store.sqlite")
    asyncio.run(work())
    database.close()
