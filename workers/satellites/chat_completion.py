"""`satellite/exospherehost/chat-completion`: asks a language model, by any server that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exospherehost import ConfigurationError, LogicError, TransientError, satellite
from state_manager.config import settings
from workers.chat.answer_schema import AnswerSchema, WrongAnswer
from workers.chat.reply import DONE, TOKENS, EventLines, Reply, parse, parse_json
from workers.http.client import Client, Request, header_texts, open_client, origin, parse_url, read_body
from workers.http.statuses import failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpcore

    from exospherehost import Context

_PRICE = {"type": "number", "minimum": 0}

SCHEMA = {
    "type": "object",
    "properties": {
        "base_url": {"type": "string", "minLength": 1, "maxLength": 4096},
        "api_key": {"type": "string", "minLength": 1},
        "model": {"type": "string", "minLength": 1},
        "messages": {
            "type": "array",
            "items": {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}}},
            "minItems": 1,
        },
        "temperature": {"type": "number", "minimum": 0},
        "max_tokens": {"type": "integer", "minimum": 1},
        "response_format": {"type": "object", "required": ["type"]},
        "stream": {"type": "boolean"},
        "max_repairs": {"type": "integer", "minimum": 0, "maximum": 5},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
        "prices": {
            "type": "object",
            "properties": {"input_per_million": _PRICE, "output_per_million": _PRICE},
            "required": ["input_per_million", "output_per_million"],
            "additionalProperties": False,
        },
    },
    "required": ["base_url", "model", "messages"],
    "additionalProperties": False,
}

TIMEOUT_S = 120
MAX_REPAIRS = 1
MAX_RESPONSE_BYTES = 16 * 2**20
SUCCESS = 200
SENT = ("model", "messages", "temperature", "max_tokens", "response_format", "stream")
MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Conversation:
    """The requests of one attempt to one server."""

    context: Context
    client: Client

    async def ask(self, messages: list[Any], number: int) -> Reply:
        """Send one request, and return the reply; raise what its status stands for."""
        config = self.context.config
        body = {name: config[name] for name in SENT if name in config} | {"messages": messages}
        if config.get("stream"):
            body["stream_options"] = {"include_usage": True}
        request = _request(config, json.dumps(body).encode(), f"{self.context.idempotency_key}-{number}")
        where = origin(request.url)
        async with self.client.stream(request) as response:
            if response.status != SUCCESS:
                raise failure(response.status, header_texts(response), where)
            if config.get("stream"):
                return await self._read_stream(response, where)
            return parse(await read_body(response, MAX_RESPONSE_BYTES, where))

    async def _read_stream(self, response: httpcore.Response, where: str) -> Reply:
        """Read a stream to its end, and show the answer so far as progress."""
        reply, lines, read = Reply(), EventLines(), 0
        async for chunk in response.aiter_stream():
            read += len(chunk)
            if read > MAX_RESPONSE_BYTES:
                raise ConfigurationError(f"{where}: the response has more than {MAX_RESPONSE_BYTES} bytes")
            for data in lines.feed(chunk):
                if data == DONE:
                    return reply
                reply.add(parse_json(data), "delta")
                self.context.progress(0, reply.content[-1000:])
        raise TransientError(f"{where}: the stream ended before the answer did")


@satellite("satellite/exospherehost/chat-completion", config_schema=SCHEMA)
async def chat_completion(context: Context) -> dict[str, Any]:
    """Ask the model; return its answer as `content`, parsed as `value`, with the tokens used and their cost.

    With a JSON schema in `response_format` the answer is checked; up to `max_repairs` times the model is told what is
    wrong. Raises LogicError where it is still wrong then.
    """
    config = context.config
    schema = _answer_schema(config.get("response_format", {}))
    where, limit_s = origin(_url(config)), config.get("timeout", TIMEOUT_S)
    try:
        async with asyncio.timeout(limit_s), open_client(settings().allow_private_addresses) as client:
            replies, value = await _converse(Conversation(context, client), schema)
    except TimeoutError:
        raise TransientError(f"{where}: no complete answer within {limit_s:g} s") from None
    usage = {name: sum(reply.usage.get(name, 0) for reply in replies) for name in TOKENS}
    last = replies[-1]
    context.log.info("%s: %d requests, %s", where, len(replies), usage)
    return {
        "content": last.content,
        "value": value,
        "finish_reason": last.finish_reason,
        "model": last.model or config["model"],
        "usage": usage,
        "cost": _cost(usage, config.get("prices")),
        "requests": len(replies),
    }


async def _converse(conversation: Conversation, schema: AnswerSchema | None) -> tuple[list[Reply], Any]:
    config = conversation.context.config
    messages, replies = list(config["messages"]), list[Reply]()
    for repairs_left in range(config.get("max_repairs", MAX_REPAIRS), -1, -1):
        reply = await conversation.ask(messages, len(replies) + 1)
        replies.append(reply)
        if schema is None:
            return replies, None
        try:
            return replies, schema.parse(reply.content)
        except WrongAnswer as error:
            wrong = str(error)
            conversation.context.log.warning("the answer does not match the schema, %d repairs left", repairs_left)
        told = f"Your answer does not match the JSON schema: {wrong}\nAnswer again, with the corrected JSON only."
        messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": told}]
    raise LogicError(f"the answer does not match the JSON schema, after {len(replies)} requests: {wrong}")


def _url(config: Mapping[str, Any]) -> Any:
    return parse_url(config["base_url"].rstrip("/") + "/chat/completions")


def _request(config: Mapping[str, Any], body: bytes, key: str) -> Request:
    headers = {"Content-Type": "application/json", "User-Agent": "exospherehost", "Idempotency-Key": key}
    if api_key := config.get("api_key"):
        if not api_key.isascii() or not api_key.isprintable():
            raise ConfigurationError("api_key holds characters that a header cannot carry")
        headers["Authorization"] = f"Bearer {api_key}"
    return Request("POST", _url(config), headers, body)


def _answer_schema(response_format: Mapping[str, Any]) -> AnswerSchema | None:
    if response_format.get("type") != "json_schema":
        return None
    try:
        return AnswerSchema(response_format["json_schema"]["schema"])
    except (KeyError, TypeError):
        raise ConfigurationError("response_format: json_schema.schema is missing") from None


def _cost(usage: Mapping[str, int], prices: Mapping[str, float] | None) -> float | None:
    if prices is None:
        return None
    spent = usage["prompt_tokens"] * prices["input_per_million"]
    return round((spent + usage["completion_tokens"] * prices["output_per_million"]) / MILLION, 10)
