"""Every error that concurcrawl raises on purpose.

Each one can be pickled, because workers send theirs to the supervisor.
"""

from concurcrawl.errors.base import ConcurcrawlError
from concurcrawl.errors.commands import (
    EggError,
    ItemsError,
    ListPageError,
    NodeError,
    NodeUnreachableError,
    NoSerialRunError,
    SiteError,
)
from concurcrawl.errors.crawling import (
    BlockedError,
    ControlError,
    DeadLetteredError,
    LeaseLostError,
    LeaseReturnedError,
    LocalRequestsLostError,
    PausedTooLongError,
    ResultsError,
    StalledError,
    UnfinishedError,
    UnreadableError,
    WorkerLostError,
    WorkersFailedError,
)
from concurcrawl.errors.keeping import (
    FeedError,
    FrontierError,
    JobDirError,
)
from concurcrawl.errors.sharing import (
    IN_ONE_PROCESS,
    NotDefinableError,
    NotJsonError,
    NotSharedError,
    NotShippableError,
    UnguardedError,
)
from concurcrawl.errors.starting import (
    ClusterError,
    ConfigError,
    MissingExtraError,
    MovedPartError,
    NotInEffectError,
)

__all__ = [
    "IN_ONE_PROCESS",
    "BlockedError",
    "ClusterError",
    "ConcurcrawlError",
    "ConfigError",
    "ControlError",
    "DeadLetteredError",
    "EggError",
    "FeedError",
    "FrontierError",
    "ItemsError",
    "JobDirError",
    "LeaseLostError",
    "LeaseReturnedError",
    "ListPageError",
    "LocalRequestsLostError",
    "MissingExtraError",
    "MovedPartError",
    "NoSerialRunError",
    "NodeError",
    "NodeUnreachableError",
    "NotDefinableError",
    "NotInEffectError",
    "NotJsonError",
    "NotSharedError",
    "NotShippableError",
    "PausedTooLongError",
    "ResultsError",
    "SiteError",
    "StalledError",
    "UnfinishedError",
    "UnguardedError",
    "UnreadableError",
    "WorkerLostError",
    "WorkersFailedError",
]
