"""The satellites of `approval.yaml`: an agent that works in steps, and what follows a person's decision."""

from __future__ import annotations

from typing import Any

from exospherehost import Context, RequeueAfter, satellite

SECTIONS = ("Findings", "Risks", "What to do")


@satellite(
    "satellite/examples/write-report",
    config_schema={"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]},
)
def write_report(context: Context) -> dict[str, Any]:
    """Write a report section by section, each in a run of its own: between two of them it holds no worker.

    What is done so far is in the store, so that a worker that dies costs one section.
    """
    key = f"report/{context.name}"
    written: list[str] = context.store.get(key, [])
    if len(written) < len(SECTIONS):
        # An agent would ask a model here.
        heading = SECTIONS[len(written)]
        context.store.put(key, [*written, f"## {heading}\n\n{heading} about {context.config['topic']}."])
        raise RequeueAfter(0.5)
    report = "\n\n".join([f"# {context.config['topic']}", *written])
    return {"report": context.put_artifact("report.md", report.encode(), media_type="text/markdown")}


@satellite("satellite/examples/publish")
def publish(context: Context) -> dict[str, Any]:
    """Publish the report that was approved."""
    report = context.input["report"]["report"]
    decision = context.input["approval"]
    context.log.info("%s approved %s", decision.get("by", "somebody"), report["name"])
    return {"published": context.get_artifact(report).decode(), "approved_by": decision.get("by")}
