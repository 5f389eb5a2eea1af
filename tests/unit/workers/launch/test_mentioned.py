"""What a definition needs of the module that it is in."""

from __future__ import annotations

from typing import Any

from concurcrawl.workers.launch.mentioned import mentioned

MODULE = """
import json
from functools import partial, wraps

connection = object()
prefix = "a"

def wrapped(function):
    @wraps(function)
    def inner(*args):
        return function(*args)
    return inner

def clean(text): return prefix + json.dumps(text)
def unused(): return connection

class Item: pass
class Other(Item): pass
class Kept: kind = Other

class Base:
    def base(self): return [clean(one) for one in "ab"]

class Spider(Base):
    steps = [partial(lambda url: Kept, "url")]
    @staticmethod
    def shown(): return Shown
    @wrapped
    def decorated(self): return late
class Shown: pass
late = 1
"""


def test_it_is_all_that_code_bases_attributes_and_closures_lead_to() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(MODULE, namespace)
    found = mentioned(["Spider", "not there"], namespace)
    assert sorted(found) == [
        *("Base", "Item", "Kept", "Other", "Shown", "Spider"),
        *("clean", "json", "late", "prefix"),
    ]
    assert all(found[name] is namespace[name] for name in found)
