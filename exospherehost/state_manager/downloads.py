"""Downloads of artifacts, checked against what their reference says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from exospherehost.artifacts import URI_SCHEME
from exospherehost.state_manager.errors import ServerFailed

if TYPE_CHECKING:
    from uuid import UUID

    from exospherehost.state_manager.http import HttpClient


async def download(http: HttpClient, artifact: Mapping[str, Any] | str | UUID, file: BinaryIO) -> None:
    """Write an artifact's bytes into a file that can be read too.

    Raises ServerFailed where they are not those of the reference.
    """
    reference = artifact if isinstance(artifact, Mapping) else {"id": artifact}
    artifact_id = str(reference.get("id") or reference.get("uri")).removeprefix(URI_SCHEME)
    await http.download(f"/artifacts/{quote(artifact_id, safe='')}", file)
    file.seek(0)
    expected = reference.get("sha256")
    if expected is not None and expected != hashlib.file_digest(file, "sha256").hexdigest():  # type: ignore[arg-type]
        raise ServerFailed(f"artifact {artifact_id} came back with other bytes than its reference says")
