"""Checks whether parts of a satellite are decided only when it runs: expressions, items, a group's satellites. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state_manager.expressions.syntax import names_in
from state_manager.expressions.text import mentions

if TYPE_CHECKING:
    from state_manager.cluster import Satellite


def is_dynamic(satellite: Satellite) -> bool:
    """Tell whether anything of a satellite is decided when it runs; takes a microsecond where nothing is."""
    return satellite.condition is not None or satellite.is_parent or has_expressions(satellite)


def has_expressions(satellite: Satellite) -> bool:
    """Tell whether its configuration or input has an expression, or the text that stands for the opening of one."""
    return mentions(satellite.config) or mentions(satellite.input)


def is_decided_for_each_item(satellite: Satellite) -> bool:
    """Tell whether the `if` of a fan-out reads the item, so that it is that of each child."""
    condition = satellite.condition
    return (
        condition is not None and satellite.for_each is not None and not satellite.is_group and names_in(condition).item
    )
