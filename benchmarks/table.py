"""The results as tables in Markdown."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.catalogue import Peer
    from benchmarks.rounds import Record
    from benchmarks.workloads import Workload

OURS = "ours"
LONGEST_REASON = 120


def tables(peers: Sequence[Peer], workloads: Sequence[Workload], records: dict[str, Record]) -> Iterator[str]:
    """Return tables of the peers, of their times, and of the ratios to this project's times."""
    yield rows(
        ["peer", "version", "set-up", "durable?", "start, s", "idle, % of a core", "idle, MiB (PSS)"],
        [[peer.title, *about(peer, records[peer.name])] for peer in peers],
    )
    yield rows(
        ["median [min–max]", *(f"{one.title}, {'tasks/s' if one.is_rate else 's'}" for one in workloads)],
        [[peer.title, *(cell(records[peer.name], one) for one in workloads)] for peer in peers],
    )
    if OURS in records:
        yield rows(
            ["times as long as ours", *(one.title for one in workloads)],
            [[peer.title, *(ratio(records, peer.name, one) for one in workloads)] for peer in peers],
        )
    failed = [f"- {peer.title}: {reason}" for peer in peers for reason in reasons(records[peer.name])]
    if failed:
        yield "\n".join(["Not measured:", "", *failed])


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))


def about(peer: Peer, record: Record) -> list[str]:
    """Return the row about a peer, without its times."""
    if record.missing:
        return ["–", peer.set_up, peer.durability, f"not measured: {record.missing[:LONGEST_REASON]}", "–", "–"]
    return [
        record.version or "–",
        peer.set_up,
        peer.durability,
        spread(record.start_s, 1),
        f"{record.idle['cpu_percent']:.1f}" if record.idle else "–",
        f"{record.idle['memory_mib']:.0f}" if record.idle else "–",
    ]


def cell(record: Record, workload: Workload) -> str:
    """Return the time or the rate of a workload."""
    values = record.seconds.get(workload.name)
    if not values:
        return "failed" if workload.name in record.failures or record.missing else "–"
    measured = spread([workload.tasks / one for one in values], 0) if workload.is_rate else spread(values, 3)
    return f"{measured}, then failed" if workload.name in record.failures or record.missing else measured


def spread(values: Sequence[float], digits: int) -> str:
    """Return the median, and the least and the greatest where there are several."""
    if not values:
        return "–"
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.{digits}f}–{max(values):.{digits}f}]"


def ratio(records: dict[str, Record], name: str, workload: Workload) -> str:
    """Return how many times as long as ours it took: the median of the rounds' ratios."""
    ours, theirs = (records[one].seconds.get(workload.name, []) for one in (OURS, name))
    ratios = [b / a for a, b in zip(ours, theirs, strict=False)]  # who failed in a later round has fewer
    return f"{statistics.median(ratios):.2f}" if ratios else "–"


def reasons(record: Record) -> list[str]:
    """Return why a peer, or a workload of it, is missing."""
    return [record.missing] if record.missing else [f"{name}: {why}" for name, why in record.failures.items()]
