"""What every Frontier must do. Subclass it and say how to make one."""

from __future__ import annotations

from tests.contracts.frontier.items import ItemContract
from tests.contracts.frontier.leases import LeaseContract
from tests.contracts.frontier.limits import LimitContract
from tests.contracts.frontier.order import OrderContract
from tests.contracts.frontier.pace import PaceContract


class FrontierContract(
    OrderContract, LeaseContract, ItemContract, LimitContract, PaceContract
):
    """All of it."""
