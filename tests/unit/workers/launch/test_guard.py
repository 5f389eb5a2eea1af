"""Whether an import of a script would crawl again."""

from __future__ import annotations

import pytest

from concurcrawl.workers.launch.guard import is_guarded

GUARDED = {
    "as usual": "import a\nif __name__ == '__main__':\n    crawl()  # here",
    "turned round": "if '__main__' == __name__:\n    crawl()  # here",
    "in a try": "try:\n  if __name__ == '__main__':\n    crawl()  # here\nfinally: x",
    "in short": "__name__ == '__main__' and crawl()  # here",
    "conditional expression": "crawl() if __name__ == '__main__' else None  # here",
    "the other branch": "if __name__ != '__main__':\n    x\nelse:\n    crawl()  # here",
}
UNGUARDED = {
    "as documented": "import a\ncrawl()  # here",
    "beside a guard": "crawl()  # here\nif __name__ == '__main__':\n    x",
    "another condition": "if a:\n    crawl()  # here",
    "a guard in a function": "def f():\n if __name__ == '__main__': x\ncrawl()  # here",
}


def line_of(source: str) -> int:
    return ["# here" in line for line in source.splitlines()].index(True) + 1


@pytest.mark.parametrize("source", GUARDED.values(), ids=GUARDED)
def test_a_condition_that_reads_the_name_guards_what_is_below_it(source: str) -> None:
    assert is_guarded(source, line_of(source))


@pytest.mark.parametrize("source", UNGUARDED.values(), ids=UNGUARDED)
def test_anything_else_does_not(source: str) -> None:
    assert not is_guarded(source, line_of(source))


def test_where_the_line_is_not_known_any_guard_counts() -> None:
    assert is_guarded(UNGUARDED["beside a guard"], None)
    assert not is_guarded(UNGUARDED["as documented"], None)
