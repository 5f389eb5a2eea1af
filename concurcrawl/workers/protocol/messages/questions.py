"""Questions that a worker asks, and the supervisor's answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Enter:
    """Question: may this request start? The answer comes when it may.

    Attributes:
        group: The group whose limits hold for it.
        lease_id: Its lease; None if it has none of its own.
    """

    group: str
    lease_id: int | None


@dataclass(frozen=True, slots=True)
class FetchRobots:
    """Question: what does this robots.txt say? It is fetched once per crawl.

    The answer is an encoded ``(is_first, response)``. Of all that ask for the same
    robots.txt one gets ``is_first``, so that stats count one download.

    Attributes:
        request: The request for it, encoded.
    """

    request: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """Question: is this request, which stays in the worker, new or a duplicate?

    The answer is empty if it is a duplicate.

    Attributes:
        lease_id: The lease whose callback made it.
        key: Its fingerprint.
        request: The parts of it that can be encoded.
    """

    lease_id: int
    key: bytes
    request: bytes


Question = Enter | FetchRobots | Claim


@dataclass(frozen=True, slots=True)
class Ask:
    """Worker to supervisor: a question.

    Attributes:
        number: Matches the :class:`Answer`.
        question: The question.
    """

    number: int
    question: Question


@dataclass(frozen=True, slots=True)
class Answer:
    """Supervisor to worker: the answer to an :class:`Ask`.

    Attributes:
        number: That of the question.
        value: The answer, in the form that the question's class documents.
        error: Raised in the worker instead, if it is set.
    """

    number: int
    value: bytes = b""
    error: Exception | None = None
