"""Pagination: the query's `limit`, and the split of the rows into a page and the start of the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from marshmallow import fields, validate

from api.schemas import StrictSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class PageQuery(StrictSchema):
    """The query parameters of every list."""

    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))


def cut(rows: Sequence[T], limit: int) -> tuple[Sequence[T], T | None]:
    """Return a page of at most `limit` rows, and its last row where more follow.

    Takes one row more than the page has: only that row tells whether there is a next page.
    """
    page = rows[:limit]
    return page, page[-1] if len(rows) > limit else None
