"""The workloads as cluster documents of this project."""

from __future__ import annotations

from typing import Any

from benchmarks.workloads import Shape, Workload

NOTHING: dict[str, Any] = {"uses": "satellite/bench/nothing"}


def satellites_of(workload: Workload) -> list[dict[str, Any]]:
    """Return the satellites of one cluster; of the diamonds, those of one diamond."""
    kind = kind_of(workload)
    match workload.shape:
        case Shape.CHAIN:
            return chain_of(workload.size, kind)
        case Shape.FAN:
            return fan_of(workload.size, kind)
        case Shape.DIAMONDS:
            return fan_of(2, kind)
        case Shape.FRONT:
            return front_of(workload.size, kind)


def kind_of(workload: Workload) -> dict[str, Any]:
    """Return the fields that every satellite of a workload has."""
    if workload.sleep_s is not None:
        return {"uses": "satellite/exospherehost/sleep", "config": {"seconds": workload.sleep_s}}
    if workload.fibonacci is not None:
        return {"uses": "satellite/bench/fibonacci", "config": {"n": workload.fibonacci}}
    return NOTHING


def chain_of(length: int, kind: dict[str, Any] = NOTHING) -> list[dict[str, Any]]:
    """Return satellites one after the other."""
    return [{"name": f"link-{at}", **kind, "dependencies": [f"link-{at - 1}"] if at else []} for at in range(length)]


def fan_of(width: int, kind: dict[str, Any] = NOTHING) -> list[dict[str, Any]]:
    """Return one satellite, then `width` side by side, then one that waits for them all."""
    parts = [{"name": f"part-{at}", **kind, "dependencies": ["split"]} for at in range(width)]
    join = {"name": "join", **kind, "dependencies": [part["name"] for part in parts]}
    return [{"name": "split", **kind}, *parts, join]


def front_of(width: int, kind: dict[str, Any] = NOTHING) -> list[dict[str, Any]]:
    """Return satellites side by side."""
    return [{"name": f"part-{at}", **kind} for at in range(width)]
