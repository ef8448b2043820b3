"""`context.store` without a worker: what it keeps, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from exospherehost import ConfigurationError
from exospherehost.store import KEY_CHARACTERS, VALUE_BYTES, Store


def test_value_comes_back_as_it_was_put() -> None:
    store = Store()
    value: dict[str, Any] = {"a": [1, 2.5, None, "ä"], "b": {}}
    store.put("key", value)
    value["a"].append("later")
    assert store.get("key") == {"a": [1, 2.5, None, "ä"], "b": {}}


def test_default_stands_in_for_what_is_not_there() -> None:
    store = Store()
    store.put("null", None)
    assert (store.get("none"), store.get("none", 3), store.get("null", 3)) == (None, 3, None)


def test_deleted_value_is_gone() -> None:
    store = Store()
    store.put("key", 1)
    store.delete("key")
    store.delete("key")
    assert store.get("key") is None


def test_counter_begins_at_zero_and_answers_its_sum() -> None:
    store = Store()
    assert [store.increment("n"), store.increment("n", 5), store.increment("n", -0.5)] == [1, 6, 5.5]
    assert store.get("n") == 5.5


@pytest.mark.parametrize("value", ["text", True, [1], {"n": 1}])
def test_what_is_no_number_is_not_incremented(value: Any) -> None:
    store = Store()
    store.put("key", value)
    with pytest.raises(ConfigurationError, match="'key' is not incremented: its value is no number"):
        store.increment("key")
    assert store.get("key") == value


@pytest.mark.parametrize("step", [True, "1", None, float("nan"), float("inf"), 10**30])
def test_steps_are_numbers(step: Any) -> None:
    with pytest.raises(ConfigurationError, match="'n' is not incremented by"):
        Store().increment("n", step)


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800", {1, 2}, b"bytes"])
def test_values_are_json(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="the value of the store's key 'key' is no JSON value"):
        Store().put("key", value)


def test_largest_value_fits_and_one_byte_more_is_refused_by_key_and_size() -> None:
    store = Store()
    store.put("key", "x" * (VALUE_BYTES - 2))
    with pytest.raises(ConfigurationError, match=rf"'key' has {VALUE_BYTES + 1} bytes; at most {VALUE_BYTES} are"):
        store.put("key", "x" * (VALUE_BYTES - 1))


@pytest.mark.parametrize("key", ["", "x" * (KEY_CHARACTERS + 1), "a\0", "a\n", "\ud800", 1, None, b"key"])
def test_keys_are_short_printable_texts(key: Any) -> None:
    store = Store()
    for call in (store.get, store.increment, store.delete, lambda one: store.put(one, 1)):
        with pytest.raises(ConfigurationError, match="a key of the store is a text of 1 to 256 printable characters"):
            call(key)
