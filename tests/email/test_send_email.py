"""send-email against a real SMTP server: TLS, logins, what arrives, and what refusals mean."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from jsonschema import Draft202012Validator

from exospherehost import ConfigurationError, TransientError
from exospherehost.artifacts import Artifacts
from tests.files.running import run
from tests.http.conftest import allow, loopback, trusted  # noqa: F401  (fixtures)
from tests.http.running import everything_shown, failure
from tests.processes import free_port
from workers.satellites.send_email import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import trustme

CANARY = "canary-5309"
MESSAGE = {
    "from": "Ada <ada@example.com>",
    "to": ["grace@example.com", "Alan Turing <alan@example.com>"],
    "subject": "Überprüft",
    "text": "Grüße",
}


class Inbox:
    """Keeps what arrives; answers as a test says to each command."""

    def __init__(self, *, rcpt: dict[str, str] | None = None, data: str = "250 OK") -> None:
        self.envelopes: list[Any] = []
        self.attempts = 0
        self._rcpt, self._data = rcpt or {}, data

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        self.attempts += 1
        answer = self._rcpt.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return self._data

    def message(self) -> Any:
        return message_from_bytes(self.envelopes[-1].content, policy=policy.default)


def check_login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data.login == b"user" and data.password == CANARY.encode(), handled=False)


@contextmanager
def smtp(inbox: Inbox, authority: trustme.CA | None = None, **options: Any) -> Iterator[dict[str, Any]]:
    """Run a server; yield the part of a configuration that leads there."""
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        options |= {"tls_context": context, "require_starttls": True}
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield {"host": "localhost" if authority else "127.0.0.1", "port": controller.port, **MESSAGE}
    finally:
        controller.stop()


def plain(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**config, "security": "none", **more}


@pytest.mark.usefixtures("loopback")
def test_message_arrives_as_it_was_configured() -> None:
    inbox = Inbox()
    with smtp(inbox) as config:
        output = run("send-email", plain(config, html="<p>Grüße</p>", cc=["c@example.com"], bcc=["b@example.com"]))
    message = inbox.message()
    assert message["From"] == "Ada <ada@example.com>"
    assert message["To"] == "grace@example.com, Alan Turing <alan@example.com>"
    assert (message["Cc"], message["Bcc"], message["Subject"]) == ("c@example.com", None, "Überprüft")
    assert message.get_body(("plain",)).get_content() == "Grüße\r\n"
    assert message.get_body(("html",)).get_content() == "<p>Grüße</p>\r\n"
    everybody = ["grace@example.com", "alan@example.com", "c@example.com", "b@example.com"]
    assert inbox.envelopes[0].rcpt_tos == everybody
    assert output == {"message_id": "<s@example.com>", "recipients": everybody, "refused": {}}
    assert message["Message-ID"] == "<s@example.com>"


@pytest.mark.usefixtures("loopback")
def test_repeated_attempt_has_the_same_message_id() -> None:
    inbox = Inbox()
    with smtp(inbox) as config:
        first, second = (run("send-email", plain(config), attempt=attempt) for attempt in (1, 2))
    assert first["message_id"] == second["message_id"]


def test_starttls_and_login_are_used(loopback: None, trusted: trustme.CA) -> None:  # noqa: F811
    inbox = Inbox()
    with smtp(inbox, trusted, authenticator=check_login, auth_required=True) as config:
        run("send-email", {**config, "username": "user", "password": CANARY})
        error = failure("send-email", {**config, "username": "user", "password": "wrong-canary-5309"})
    assert len(inbox.envelopes) == 1
    assert isinstance(error, ConfigurationError)
    assert "refuses the login (535)" in str(error)
    assert CANARY not in everything_shown(error)


@pytest.mark.usefixtures("loopback")
def test_server_without_starttls_is_refused() -> None:
    inbox = Inbox()
    with smtp(inbox) as config:
        error = failure("send-email", config)
    assert isinstance(error, ConfigurationError)
    assert "STARTTLS" in str(error)
    assert inbox.envelopes == []


def test_certificate_of_an_unknown_authority_is_refused(loopback: None, trusted: trustme.CA) -> None:  # noqa: F811
    with smtp(Inbox(), type(trusted)()) as config:
        error = failure("send-email", config)
    assert isinstance(error, ConfigurationError)
    assert "the certificate is refused" in str(error)


@pytest.mark.usefixtures("loopback")
def test_password_is_never_sent_without_tls() -> None:
    with smtp(Inbox()) as config:
        error = failure("send-email", plain(config, username="user", password=CANARY))
    assert isinstance(error, ConfigurationError)
    assert "not sent without TLS" in str(error)


@pytest.mark.parametrize(
    ("inbox", "kind"),
    [
        (Inbox(data="554 no"), ConfigurationError),
        (Inbox(data="451 later"), TransientError),
        (Inbox(rcpt=dict.fromkeys(["grace@example.com", "alan@example.com"], "550 no")), ConfigurationError),
        (Inbox(rcpt={"grace@example.com": "550 no", "alan@example.com": "450 later"}), TransientError),
    ],
)
@pytest.mark.usefixtures("loopback")
def test_refusal_for_good_is_not_retried_and_one_for_now_is(inbox: Inbox, kind: type[Exception]) -> None:
    with smtp(inbox) as config:
        assert type(failure("send-email", plain(config))) is kind


@pytest.mark.usefixtures("loopback")
def test_recipients_that_are_refused_are_named() -> None:
    with smtp(Inbox(rcpt={"grace@example.com": "550 no"})) as config:
        output = run("send-email", plain(config))
    assert (output["recipients"], output["refused"]) == (["alan@example.com"], {"grace@example.com": 550})


@pytest.mark.usefixtures("loopback")
def test_server_that_is_away_is_a_transient_error() -> None:
    with smtp(Inbox()) as config:
        pass
    assert isinstance(failure("send-email", plain(config)), TransientError)


def test_private_address_is_refused(allow: Callable[[str], None]) -> None:  # noqa: F811
    inbox = Inbox()
    with smtp(inbox) as config:
        error = failure("send-email", plain(config))
    assert isinstance(error, ConfigurationError)
    assert "ALLOW_PRIVATE_ADDRESSES" in str(error)
    assert inbox.attempts == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", "x\r\nBcc: evil@example.com"),
        ("from", "a@example.com\nBcc: evil@example.com"),
        ("to", ["a@example.com, evil@example.com"]),
        ("to", ["a@example.com\r\nBcc: evil@example.com"]),
        ("cc", ["no address"]),
        ("bcc", ["group: a@example.com, b@example.com;"]),
    ],
)
@pytest.mark.usefixtures("loopback")
def test_header_injection_is_refused(field: str, value: object) -> None:
    inbox = Inbox()
    with smtp(inbox) as config:
        error = failure("send-email", plain(config, **{field: value}))
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith(f"{field}: ")
    assert inbox.attempts == 0


@pytest.mark.usefixtures("loopback")
def test_artifacts_are_attached() -> None:
    inbox = Inbox()
    artifacts = Artifacts()
    reference = artifacts.put("bericht ü.pdf", b"%PDF", None)
    with smtp(inbox) as config:
        run("send-email", plain(config, attachments=[reference]), artifacts=artifacts)
        error = failure("send-email", plain(config, attachments=[{**reference, "size": 2**30}]))
    (attached,) = inbox.message().iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("bericht ü.pdf", "application/pdf")
    assert attached.get_content() == b"%PDF"
    assert "the attachments have more than" in str(error)


def test_schema_refuses_what_cannot_be_sent() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    valid = Draft202012Validator(SCHEMA).is_valid
    assert valid({"host": "mail.example.com", **MESSAGE})
    wrong: dict[str, Any]
    for wrong in ({"to": []}, {"username": "u"}, {"security": "ssl"}, {"reply": "x"}):
        assert not valid({"host": "mail.example.com", **MESSAGE, **wrong})
    assert not valid({"host": "mail.example.com", "from": "a@b", "to": ["a@b"], "subject": "no body"})
