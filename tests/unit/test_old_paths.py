"""What settings and projects of 0.1.0 name is found where it is now."""

from __future__ import annotations

import sys

import pytest
from scrapy.exceptions import ScrapyDeprecationWarning
from scrapy.utils.misc import load_object


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("concurcrawl.politeness.Profile", "concurcrawl.limits.policy.Profile"),
        ("concurcrawl.wikimedia.PROFILE", "concurcrawl.limits.wikimedia.PROFILE"),
        (
            "concurcrawl.handler.ThreadedDownloadHandler",
            "concurcrawl.http.handler.ThreadedDownloadHandler",
        ),
        (
            "concurcrawl.middlewares.profile.ProfileMiddleware",
            "concurcrawl.limits.profile_middleware.ProfileMiddleware",
        ),
    ],
)
def test_an_old_path_gives_the_same_object_and_one_warning(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, now = old.rpartition(".")[0], new.rpartition(".")[0]
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.warns(ScrapyDeprecationWarning) as warned:
        assert load_object(old) is load_object(new)
    assert load_object(old) is load_object(new)  # it was told
    (said,) = [str(one.message) for one in warned]
    assert said == f"{module} is now {now}; the old name will be removed."
    spec = sys.modules[now].__spec__
    assert spec is not None
    assert spec.name == now  # what is there now is still itself


def test_a_path_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        load_object("concurcrawl.never.Profile")
