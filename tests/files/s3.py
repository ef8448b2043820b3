"""A server of the S3 protocol over HTTP (moto's), and one that fails as S3 does."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import boto3
from obstore.store import S3Store

from tests.processes import Process, free_port, python
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ANY_KEY = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "an-example-of-a-secret-key"}
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
EMPTY_LIST = b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server: its URL, and the configuration that gives access to it."""

    endpoint: str
    access: Mapping[str, str]

    def client(self, service: str = "s3") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access["access_key_id"],
            aws_secret_access_key=self.access["secret_access_key"],
        )

    def put(self, bucket: str, files: Mapping[str, bytes]) -> None:
        """Create the bucket if it is not there, and put files into it."""
        self.client().create_bucket(Bucket=bucket)
        store = S3Store(bucket, client_options={"allow_http": True}, region="us-east-1", **self.config)

        async def put_all() -> None:
            await asyncio.gather(*(store.put_async(key, data) for key, data in files.items()))

        asyncio.run(put_all())

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which a process finds it."""
        names = {"AWS_ACCESS_KEY_ID": "access_key_id", "AWS_SECRET_ACCESS_KEY": "secret_access_key"}
        access = {variable: self.access[name] for variable, name in names.items()}
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": "us-east-1", **access}

    @property
    def config(self) -> dict[str, Any]:
        """The part of a satellite's configuration that gives access."""
        return {"endpoint": self.endpoint, **self.access}


@contextmanager
def s3_server(**environment: str) -> Iterator[S3Server]:
    """Run a server on a port of its own."""
    port = free_port()
    with Process(python("-m", "tests.files.serve_s3", str(port)), environment) as process:
        endpoint = f"http://127.0.0.1:{port}"
        until(lambda: process.returncode is not None or _answers(endpoint), what="the S3 server answers")
        assert process.returncode is None, process.output
        yield S3Server(endpoint, ANY_KEY)


def check_credentials(server: S3Server) -> dict[str, str]:
    """Have the server check signatures from now on; return the key of a user who may use S3."""
    iam = server.client("iam")
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="s3", PolicyDocument=json.dumps(POLICY))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    reset = urllib.request.Request(f"{server.endpoint}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})  # noqa: S310
    urllib.request.urlopen(reset).close()  # noqa: S310
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


@contextmanager
def failing_server(
    status: int, body: bytes = SLOW_DOWN, *, times: int | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Run a server that answers its first `times` requests (by default all) with an error, then with an empty list.

    Yields its URL and the paths that were requested.
    """
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            fails = times is None or len(requested) <= times
            answer = body if fails else EMPTY_LIST
            self.send_response(status if fails else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_PUT = do_HEAD = do_POST = do_GET  # noqa: N815  (names of http.server)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requested
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5).close()  # noqa: S310
    except OSError:
        return False
    return True
