"""Encryption of secrets: each row opens in its own place alone, and master keys can be replaced."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state_manager.config import load_settings
from state_manager.errors import ConfigurationFault
from state_manager.secrets.configured import configured_keys
from state_manager.secrets.envelope import Place, rewrap, seal, unseal
from state_manager.secrets.errors import Undecryptable, UnknownKey
from state_manager.secrets.keys import MasterKeys, parse_keys, write_keys

if TYPE_CHECKING:
    from pathlib import Path

VALUE = "correct horse battery staple"
PLACE = Place("project", "TOKEN")


OLD, NEW = (base64.b64encode(bytes(range(first, first + 32))).decode() for first in (1, 101))
KEYS = parse_keys(OLD)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_value_comes_back_as_it_was(value: str) -> None:
    assert unseal(KEYS, PLACE, seal(KEYS, PLACE, value)) == value


def test_value_is_never_sealed_alike_twice() -> None:
    one, two = seal(KEYS, PLACE, VALUE), seal(KEYS, PLACE, VALUE)
    assert one.wrapped_key != two.wrapped_key
    assert one.ciphertext != two.ciphertext
    assert VALUE.encode() not in one.ciphertext + one.wrapped_key


@pytest.mark.parametrize(
    "elsewhere",
    [
        Place("other", "TOKEN"),
        Place("project", "OTHER"),
        Place("project", "TOKEN", UUID(int=1)),
        Place('p","T', "OKEN"),
    ],
    ids=str,
)
def test_secret_opens_nowhere_but_in_its_place(elsewhere: Place) -> None:
    sealed = seal(KEYS, PLACE, VALUE)
    for action in (unseal, rewrap):
        with pytest.raises(Undecryptable, match="altered, or belongs elsewhere"):
            action(KEYS, elsewhere, sealed)


def test_ciphertext_and_data_key_belong_together() -> None:
    one, two = seal(KEYS, PLACE, VALUE), seal(KEYS, PLACE, "another value")
    with pytest.raises(Undecryptable):
        unseal(KEYS, PLACE, replace(one, ciphertext=two.ciphertext))


@pytest.mark.parametrize("field", ["wrapped_key", "ciphertext"])
def test_altered_or_truncated_secret_is_refused(field: str) -> None:
    sealed = seal(KEYS, PLACE, VALUE)
    whole: bytes = getattr(sealed, field)
    for altered in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-1], whole[:5], b""):
        changes: dict[str, Any] = {field: altered}
        with pytest.raises(Undecryptable):
            unseal(KEYS, PLACE, replace(sealed, **changes))


def test_rotation_changes_the_data_keys_wrapping_alone() -> None:
    sealed = seal(KEYS, PLACE, VALUE)
    both, new = parse_keys(f"{NEW},{OLD}"), parse_keys(NEW)
    assert unseal(both, PLACE, sealed) == VALUE
    fresh = rewrap(both, PLACE, sealed)
    assert fresh.ciphertext == sealed.ciphertext
    assert unseal(new, PLACE, fresh) == VALUE
    with pytest.raises(UnknownKey, match=f"{KEYS.newest.id} is not in SECRETS_KEY, which has {new.newest.id}"):
        unseal(new, PLACE, sealed)


def test_keys_show_their_ids_and_not_themselves() -> None:
    for shown in (repr(KEYS), str(KEYS), repr(KEYS.newest)):
        assert KEYS.newest.id in shown
        assert OLD not in shown
        assert repr(KEYS.newest.secret) not in shown


def test_keys_come_back_as_they_were_written() -> None:
    both = parse_keys(f"{NEW}, {OLD}")
    assert parse_keys(write_keys(both)) == both
    assert both == MasterKeys((parse_keys(NEW).newest, parse_keys(OLD).newest))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hunter2hunter2!!", "key 1 is not base64"),
        (base64.b64encode(b"hunter2").decode(), "key 1 has 7 bytes"),
        (f"{OLD},aHVudGVyMg==", "key 2 has 7 bytes"),
        (f"{OLD},", "key 2 has 0 bytes"),
        (f"{OLD},{OLD}", "the same key is listed twice"),
    ],
)
def test_malformed_key_stops_the_start_and_is_not_shown(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        load_settings({"SECRETS_KEY": text}, tmp_path)
    (fault,) = caught.value.faults
    assert fault.startswith(f"SECRETS_KEY: {complaint}")
    assert not any(part and part in fault for part in text.split(","))


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{NEW}\n{OLD}\n")
    loaded = load_settings({"SECRETS_KEY_FILE": "keys"}, tmp_path)
    assert loaded.secrets_key_file == tmp_path / "keys"
    assert configured_keys(loaded) == parse_keys(f"{NEW},{OLD}")
    assert "SECRETS_KEY" in loaded.environ()
    assert NEW not in loaded.environ().values()


def test_faults_of_the_key_file_name_the_setting(tmp_path: Path) -> None:
    def fault(**environ: str) -> str:
        with pytest.raises(ConfigurationFault) as caught:
            load_settings(environ, tmp_path)
        return str(caught.value)

    absent = fault(SECRETS_KEY_FILE="absent")
    assert absent == f"SECRETS_KEY_FILE: {tmp_path}/absent cannot be read: No such file or directory"
    (tmp_path / "short").write_text("aHVudGVyMg==")
    assert fault(SECRETS_KEY_FILE="short").startswith(f"SECRETS_KEY_FILE: {tmp_path}/short: key 1 has 7 bytes")
    (tmp_path / "binary").write_bytes(os.urandom(32) + b"\xff")
    assert "holds something else than keys" in fault(SECRETS_KEY_FILE="binary")
    (tmp_path / "good").write_text(OLD)
    assert "SECRETS_KEY is set too" in fault(SECRETS_KEY_FILE="good", SECRETS_KEY=OLD)


def test_another_process_loads_the_same_keys(tmp_path: Path) -> None:
    loaded = load_settings({"SECRETS_KEY": f"{NEW},{OLD}"}, tmp_path)
    assert load_settings(loaded.environ(), tmp_path).secrets_key == loaded.secrets_key
