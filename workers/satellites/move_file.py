"""`satellite/exospherehost/move-file`: moves or copies a file between two stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError, TransientError, satellite
from workers.files.errors import store_errors
from workers.files.location import Location
from workers.files.stores import ACCESS_SCHEMA, connection, open_store

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

    from exospherehost import Context

CHUNK_BYTES = 8 * 2**20

SCHEMA = {
    "type": "object",
    "properties": {
        "source": {"type": "string", "minLength": 1},
        "target": {"type": "string", "minLength": 1},
        "copy": {"type": "boolean"},
        "target_access": {"type": "object", "properties": ACCESS_SCHEMA, "additionalProperties": False},
        **ACCESS_SCHEMA,
    },
    "required": ["source", "target"],
    "additionalProperties": False,
}


@satellite("satellite/exospherehost/move-file", config_schema=SCHEMA)
async def move_file(context: Context) -> dict[str, Any]:
    """Move a file, or copy it, and return a reference to the target.

    Safe to repeat: the source is deleted only when the whole target is there, and a source that is gone while the
    target is there counts as moved. Raises ConfigurationError where neither is there, or both are the same.
    """
    config = context.config
    source, target = Location.parse(config["source"]), Location.parse(config["target"])
    access = {name: config[name] for name in ACCESS_SCHEMA if name in config}
    target_access = config.get("target_access", access)
    _check_different(source, target, same_store=connection(access) == connection(target_access))
    here, there = open_store(source, access), open_store(target, target_access)
    found, kept = await _head(here, source), await _head(there, target)
    if found is None:
        if kept is None or config.get("copy"):
            raise ConfigurationError(f"{source.uri}: it does not exist")
        context.log.info("%s was moved before", source.uri)
        return _reference(target, kept, target_access)
    if kept is None or (kept["size"], kept["e_tag"]) != (found["size"], found["e_tag"]):
        await _copy(here, source, there, target)
        kept = await _head(there, target)
    if kept is None or kept["size"] != found["size"]:
        raise TransientError(f"{target.uri} is not what was written: something else writes there")
    if not config.get("copy"):
        await _delete(here, source, found)
    return _reference(target, kept, target_access)


def _check_different(source: Location, target: Location, *, same_store: bool) -> None:
    same = source.path.resolve() == target.path.resolve() if source.is_local and target.is_local else source == target
    if same and (same_store or source.is_local):
        raise ConfigurationError(f"{source.uri} is both the source and the target")
    for one in (source, target):
        if not one.key or one.key.endswith("/"):
            raise ConfigurationError(f"{one.uri} names no file")


async def _head(store: ObjectStore, location: Location) -> ObjectMeta | None:
    """Look up a file; None where it is not there."""
    with store_errors(location.uri):
        try:
            return await store.head_async(location.key)
        except FileNotFoundError:
            return None


async def _copy(here: ObjectStore, source: Location, there: ObjectStore, target: Location) -> None:
    """Copy a file in pieces; the target appears when all of it is there."""
    with store_errors(source.uri):
        found = await here.get_async(source.key)
    with store_errors(f"{source.uri} to {target.uri}"):
        await there.put_async(target.key, found.stream(min_chunk_size=CHUNK_BYTES), chunk_size=CHUNK_BYTES)


async def _delete(store: ObjectStore, location: Location, copied: ObjectMeta) -> None:
    """Delete what was copied, unless somebody has written it anew meanwhile."""
    now = await _head(store, location)
    if now is not None and now["e_tag"] != copied["e_tag"]:
        raise TransientError(f"{location.uri} was changed while it was moved")
    with store_errors(location.uri):
        await store.delete_async(location.key)


def _reference(location: Location, kept: ObjectMeta, access: dict[str, Any]) -> dict[str, Any]:
    etag = (kept["e_tag"] or "").strip('"') or None
    return {"uri": location.uri, "size": kept["size"], "etag": etag, **connection(access)}
