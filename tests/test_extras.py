"""Optional modules: present, or refused with the command that installs them."""

from __future__ import annotations

import json

import pytest

from diffus.extras import import_extra, require_extra


def test_imports_what_is_there():
    assert import_extra("json", "demo", "anything") is json


def test_finds_without_importing():
    spec = require_extra("json", "demo", "anything")
    assert spec.name == "json"


@pytest.mark.parametrize("call", [import_extra, require_extra])
def test_names_the_extra_that_is_missing(call):
    with pytest.raises(
        ValueError, match=r"no_such_module is needed for the demo .*pip install 'diffus\[demo\]'"
    ):
        call("no_such_module", "demo", "the demo")
