"""The keys of a job, for Python, which only reads them.

``lua/keys.lua`` says what each is and who writes it: nothing else than the script does,
but for ``control.py`` and the commands that drain a stream or purge a job. A test
compares the names.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Of a job, one each.
SINGLE = frozenset(
    {
        "job",
        "seen",
        "requests",
        "waiting_groups",
        "ready",
        "paused",
        "default_limits",
        "limiters",
        "idle",
        "nodes",
        "members",
        "attempts",
        "in_doubt",
        "in_doubt_of_dead",
        "orphans",
        "stream",
        "outputs",
        "notes",
        "stats",
        "cookies",
        "throttled",
        "dead_letters",
        "control",
        "commands",
        "answers",
        "reports",
    }
)

#: Of those, the ones that Python writes (``control.py``); the script only deletes them.
OF_CONTROL = frozenset({"control", "commands", "answers", "reports"})

#: Of a job, one for each group, node or batch.
MANY = frozenset({"waiting", "node", "leases", "unleased", "items", "batch"})


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one job.

    Attributes:
        prefix: What the keys of all jobs begin with.
        job: The job's name.
    """

    prefix: str
    job: str

    @property
    def base(self) -> str:
        """What all its keys begin with: one slot of a cluster has them all."""
        return "{" + f"{self.prefix}:{self.job}" + "}:"

    def one(self, name: str) -> str:
        """Return the key *name*, one of :data:`SINGLE`."""
        assert name in SINGLE, name
        return f"{self.base}{name}"

    def of(self, kind: str, name: str) -> str:
        """Return the key of a *kind* of :data:`MANY` that belongs to *name*.

        Args:
            kind: Such as ``items``.
            name: The group, the node or the batch.
        """
        assert kind in MANY, kind
        return f"{self.base}{kind}:{name}"
