"""What differs between a store and what is declared, and the steps that would make it equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

from ..values import dump_json

__all__ = ["Answer", "Difference", "Loss", "Plan", "Step", "checksum_of"]

Answer: TypeAlias = Literal["apply", "by hand", "note"]
"""What `apply` does about a difference: makes it equal, leaves it to people, or nothing because nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What taking a step back would destroy: a statement that counts it, what is counted, and in which table."""

    count: str
    what: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change that takes place whole or not at all.

    `name` is the same each time the step is planned. `alone` says that its one statement cannot run in a
    transaction, `patient` that it disturbs nobody while it waits for a lock, so that it may wait for long.
    `fills` names the entity whose search words the step writes, in batches, instead of running statements.
    """

    name: str
    says: str
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    alone: bool = False
    patient: bool = False
    fills: str | None = None
    loss: Loss | None = None

    def plain(self) -> dict[str, Any]:
        """The step as plain JSON."""
        return {**asdict(self), "up": list(self.up), "down": list(self.down)}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Step:
        """The step that `plain` gave."""
        loss = plain.get("loss")
        return cls(
            **{
                **plain,
                "up": tuple(plain["up"]),
                "down": tuple(plain["down"]),
                "loss": Loss(**loss) if loss else None,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in a table that is not as declared. `says` is what, `why` what becomes of it or why nothing does."""

    table: str
    kind: str
    name: str
    says: str
    answer: Answer
    why: str
    steps: tuple[Step, ...] = ()

    def plain(self) -> dict[str, Any]:
        """The difference as plain JSON, its keys as documented."""
        return {
            "table": self.table,
            "kind": self.kind,
            "name": self.name,
            "says": self.says,
            "answer": self.answer,
            "why": self.why,
            "sql": [text for step in self.steps for text in step.up],
        }


_ORDER = ("table", "column", "check", "search", "index", "unique", "reference")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that differs in one store. `versions` are the tables by which other tools count their changes."""

    differences: tuple[Difference, ...]
    versions: tuple[tuple[str, str | None], ...] = field(default=())

    @property
    def steps(self) -> tuple[Step, ...]:
        """What `apply` would run, in order: what is referred to comes before what refers."""
        ordered = sorted(
            (item for item in self.differences if item.answer == "apply"), key=lambda item: _ORDER.index(item.kind)
        )
        # What refers, or checks, is first added for new rows, then judged for the old ones.
        return tuple(step for item in ordered for step in item.steps)

    @property
    def equal(self) -> bool:
        """Whether nothing differs; notes do not count."""
        return all(item.answer == "note" for item in self.differences)


def checksum_of(steps: Sequence[Step]) -> str:
    """A digest of what the steps do and how they are taken back."""
    text = dump_json([step.plain() for step in steps])
    return blake2b(text.encode(), digest_size=16, person=b"crossfade schema").hexdigest()
