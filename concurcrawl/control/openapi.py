"""The description of the control door's API, as OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from concurcrawl.control.start_requests import FIELDS


def document() -> dict[str, Any]:
    """Return the document that ``GET /v1/openapi.json`` serves."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "concurcrawl control", "version": "1"},
        "servers": [{"url": "/v1"}],
        "security": [{"token": []}],
        "paths": {
            "/status": {"get": _operation("How the crawl is", "Status")},
            "/events": {"get": _events()},
            "/requests": {"post": _operation("Add start requests", "Added", "Add")},
            "/stop": {"post": _operation("End the crawl", "Status", "Stop")},
            "/pause": {"post": _operation("Start no more requests", "Status")},
            "/resume": {"post": _operation("Start requests again", "Status")},
            "/retry": {
                "post": _operation("Put dead-lettered requests back", "Retried")
            },
            "/groups/{group}": {
                "parameters": [
                    {
                        "name": "group",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string"},
                    }
                ],
                "patch": _operation("Change limits of a group", "Limits", "NewLimits"),
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _operation(summary: str, answer: str, body: str = "") -> dict[str, Any]:
    errors = {
        "400": "The body is malformed; nothing was changed",
        "401": "The token is missing or wrong",
        "403": "The request comes from a page in a browser",
        "409": "The crawl refuses; nothing was changed",
        "413": "The body is too large; nothing was changed",
    }
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": _json(answer)},
            **{
                code: {"description": why, "content": _json("Error")}
                for code, why in errors.items()
            },
        },
    }
    if body:
        found["requestBody"] = {"required": body != "Stop", "content": _json(body)}
    return found


def _events() -> dict[str, Any]:
    found = _operation("What the dashboard shows, once a second up to the end", "Error")
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    found["responses"]["200"]["content"] = stream
    return found


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        found["required"] = list(required)
    return found


def _schemas() -> dict[str, Any]:
    text, count = {"type": "string"}, {"type": "integer", "minimum": 0}
    request = _object(("url",), **{name: {} for name in FIELDS} | {"url": text})
    seconds = {"type": "number", "minimum": 0}
    refused = _object(url=text, reason=text)
    states = {"type": "string", "enum": ["running", "paused", "stopping"]}
    return {
        "Error": _object(("error",), error=text),
        "Status": _object(
            spider=text,
            pid=count,
            state=states,
            responses=count,
            items=count,
            dead_lettered=count,
            waiting=count,
            leased=count,
        ),
        "Add": _object(
            ("urls",), urls={"type": "array", "items": {"anyOf": [text, request]}}
        ),
        "Added": _object(
            taken=count, duplicates=count, refused={"type": "array", "items": refused}
        ),
        "Stop": _object(reason=text),
        "Retried": _object(retried=count),
        "NewLimits": _object(
            in_flight={"type": "integer", "minimum": 1}, delay_s=seconds
        ),
        "Limits": _object(group=text, in_flight=count, delay_s=seconds),
    }
