"""From a bucket to text in one command: `uv run python examples/s3-pdf/run.py [FOLDER [OPTION …]]`.

Starts a local server of the S3 protocol (moto's), puts the PDFs of a folder into a bucket, by default those beside this
file, runs `data_processing.yaml` with `run.py` and these options, and stops the server. Prints what `run.py` prints.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.store import S3Store

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
BUCKET = "my-data-bucket"
START_S = 60.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "any secret will do here",
    "AWS_REGION": "us-east-1",
}


def main() -> int:
    """Run the cluster, and return the exit code of `run.py`."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "files"
    with s3_server() as endpoint:
        put(endpoint, sorted(folder.glob("*.pdf")))
        environment = {**os.environ, **CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}
        command = [sys.executable, str(HERE.parents[1] / "run.py"), str(HERE / "data_processing.yaml"), *sys.argv[2:]]
        return subprocess.run(command, env=environment, check=False).returncode


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a server on the loopback address; yield its URL when it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        wait_for(f"{endpoint}/moto-api/", server)
        yield endpoint
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers; SystemExit where it does not come up."""
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the S3 server did not start")


def put(endpoint: str, paths: list[Path]) -> None:
    """Create the bucket, and put files into it."""
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")).close()  # noqa: S310
    store = S3Store(
        BUCKET,
        endpoint=endpoint,
        region=CREDENTIALS["AWS_REGION"],
        access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )
    for path in paths:
        store.put(path.name, path)


if __name__ == "__main__":
    raise SystemExit(main())
