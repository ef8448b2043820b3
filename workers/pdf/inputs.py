"""The files that are to be read: named in the configuration, else found in the outputs of the dependencies. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError
from workers.files.download import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exospherehost import Context


@dataclass(frozen=True, slots=True)
class Wanted:
    """The files to read, and the URIs of those that are passed over."""

    files: tuple[Reference, ...]
    skipped: tuple[str, ...]


def files_to_read(context: Context) -> Wanted:
    """Return what the configuration names in `files` or `uri`, else what the outputs of the dependencies refer to.

    Of the outputs, only files called `*.pdf` are taken: a bucket may hold others too. Raises ConfigurationError where
    neither says what to read.
    """
    named = context.config.get("files", [context.config["uri"]] if "uri" in context.config else None)
    if named is not None:
        return Wanted(tuple(Reference.parse(one) for one in named), ())
    lists = [found for output in context.input.values() if (found := _references_in(output)) is not None]
    if not lists:
        given = ", ".join(map(repr, context.input)) or "none"
        raise ConfigurationError(
            "there is nothing to read: the configuration names neither files nor uri, and no output of a dependency "
            f"({given}) has files"
        )
    references = [Reference.parse(one) for one in chain.from_iterable(lists)]
    return Wanted(
        tuple(one for one in references if _is_pdf(one)),
        tuple(one.location.uri for one in references if not _is_pdf(one)),
    )


def _references_in(output: Any) -> list[Mapping[str, Any]] | None:
    """Return the references of an output: itself, its `files`, or what its items have; None where it has none."""
    if isinstance(output, list):
        lists = [found for one in output if (found := _references_in(one)) is not None]
        return list(chain.from_iterable(lists)) if lists or not output else None
    if not isinstance(output, dict):
        return None
    if isinstance(output.get("uri"), str):
        return [output]
    return _references_in(output["files"]) if isinstance(output.get("files"), list) else None


def _is_pdf(reference: Reference) -> bool:
    return reference.name.lower().endswith(".pdf")
