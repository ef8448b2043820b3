"""`run.py` makes a master key once, which its owner alone may read."""

from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from local.errors import CannotStart
from local.secrets_key import KEY_FILE, make_key, with_secrets_key
from state_manager.config import Settings
from state_manager.secrets.configured import configured_keys, read_keys
from state_manager.secrets.keys import parse_keys

if TYPE_CHECKING:
    from pathlib import Path

STARTS = 8


def test_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    first = with_secrets_key(Settings(home=tmp_path))
    assert first.secrets_key_file == tmp_path / KEY_FILE
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert configured_keys(with_secrets_key(Settings(home=tmp_path))) == configured_keys(first)


def test_starts_at_the_same_time_agree_on_one_key(tmp_path: Path) -> None:
    for attempt in range(20):
        path, together = tmp_path / f"{attempt}.key", Barrier(STARTS)

        def start(path: Path = path, together: Barrier = together) -> object:
            together.wait()
            make_key(path)
            return read_keys(path)

        with ThreadPoolExecutor(STARTS) as pool:
            read = [pool.submit(start) for _ in range(STARTS)]
            assert len({one.result() for one in read}) == 1
    assert len(list(tmp_path.iterdir())) == 20


def test_configured_key_wins(tmp_path: Path) -> None:
    keys = parse_keys(base64.b64encode(bytes(32)).decode())
    given = Settings(home=tmp_path, secrets_key=keys)
    assert with_secrets_key(given) == given
    assert list(tmp_path.iterdir()) == []


def test_production_makes_no_key(tmp_path: Path) -> None:
    production = Settings(home=tmp_path, environment="production")
    assert configured_keys(with_secrets_key(production)) is None
    assert list(tmp_path.iterdir()) == []


def test_damaged_key_stops_the_start_and_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("hunter2")
    with pytest.raises(CannotStart, match=r"secrets.key: key 1 is not base64") as caught:
        with_secrets_key(Settings(home=tmp_path))
    assert "hunter2" not in str(caught.value)
    assert (tmp_path / KEY_FILE).read_text() == "hunter2"
