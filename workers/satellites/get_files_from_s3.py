"""`satellite/exospherehost/get-files-from-s3`: lists the files of a bucket, and returns references to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError, satellite
from state_manager.config import settings
from workers.files.listing import PAGE, list_files
from workers.files.location import Location
from workers.files.stores import ACCESS_SCHEMA, connection, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore import ObjectMeta

    from exospherehost import Context

_PATTERNS = {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 1024}, "maxItems": 100}

SCHEMA = {
    "type": "object",
    "properties": {
        "bucket": {"type": "string", "minLength": 1, "maxLength": 255},
        "prefix": {"type": "string", "maxLength": 1024},
        "uri": {"type": "string", "maxLength": 4096},
        "recursive": {"type": "boolean"},
        "extensions": _PATTERNS,
        "include": _PATTERNS,
        "exclude": _PATTERNS,
        "limit": {"type": "integer", "minimum": 1},
        **ACCESS_SCHEMA,
    },
    "additionalProperties": False,
    # A bucket with a prefix, or a URI that says both.
    "if": {"not": {"required": ["uri"]}},
    "then": {"required": ["bucket"]},
    "dependentSchemas": {"uri": {"properties": {"bucket": False, "prefix": False}}},
}

ENVELOPE_BYTES = 200
"""Size of an output without its references, at most."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The files that are wanted: with one of the extensions, matching one of `include`, and none of `exclude`."""

    extensions: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Selection:
        """Read a configuration; an extension may be written with its dot or without, and in any case."""
        extensions = tuple(f".{one.lower().lstrip('.')}" for one in config.get("extensions", ()))
        return cls(extensions, tuple(config.get("include", ())), tuple(config.get("exclude", ())))

    def wants(self, key: str) -> bool:
        """Tell whether a file is wanted."""
        return (
            (not self.extensions or key.lower().endswith(self.extensions))
            and (not self.include or any(fnmatchcase(key, pattern) for pattern in self.include))
            and not any(fnmatchcase(key, pattern) for pattern in self.exclude)
        )


@satellite("satellite/exospherehost/get-files-from-s3", config_schema=SCHEMA)
async def get_files_from_s3(context: Context) -> dict[str, Any]:
    """List the files of a bucket or a folder, and return references to those that the configuration selects.

    Returns `files` (each with `uri`, `size` in bytes, `etag` and `modified`, and the part of the configuration that
    who reads it needs), their `count`, and whether the list was `truncated` by the `limit`.
    """
    location = _location(context.config)
    selection, limit = Selection.from_config(context.config), context.config.get("limit")
    store = open_store(location, context.config)
    access = connection(context.config)
    files: list[dict[str, Any]] = []
    listed = output_bytes = 0
    truncated = False
    async for entry in list_files(store, location, recursive=context.config.get("recursive", True)):
        listed += 1
        if listed % PAGE == 0:
            context.progress(0, f"{listed} files listed, {len(files)} selected")
        if not selection.wants(entry["path"]):
            continue
        if truncated := len(files) == limit:
            break
        files.append(_reference(location.at(entry["path"]), entry, access))
        output_bytes += len(json.dumps(files[-1], ensure_ascii=False).encode()) + len(", ")
        _check_size(output_bytes, len(files), location)
    context.log.info("%d files of %s selected, of %d listed", len(files), location.uri, listed)
    return {"files": files, "count": len(files), "truncated": truncated}


def _location(config: Mapping[str, Any]) -> Location:
    if uri := config.get("uri"):
        return Location.parse(uri)
    if "/" in config["bucket"] or ":" in config["bucket"]:
        raise ConfigurationError(f"{config['bucket']!r} is no name of a bucket; a URI belongs into uri")
    return Location("s3", config["bucket"], config.get("prefix", "").lstrip("/"))


def _reference(location: Location, entry: ObjectMeta, access: Mapping[str, Any]) -> dict[str, Any]:
    modified = entry["last_modified"].isoformat().replace("+00:00", "Z")
    etag = (entry["e_tag"] or "").strip('"') or None
    return {"uri": location.uri, "size": entry["size"], "etag": etag, "modified": modified, **access}


def _check_size(output_bytes: int, count: int, location: Location) -> None:
    allowed = settings().max_output_bytes
    if output_bytes + ENVELOPE_BYTES > allowed:
        raise ConfigurationError(
            f"{location.uri}: the references of {count} files have more than the {allowed} bytes that an output may "
            "have (MAX_OUTPUT_BYTES): set limit, or select fewer files by prefix, extensions, include or exclude"
        )
