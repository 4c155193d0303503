"""A value that is stored but never shown."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

__all__ = ["Secret"]

T = TypeVar("T")


class Secret(Generic[T]):
    """Wraps a value so that it does not reach a log, an error, a repr or an export by accident.

    Declare a field as `Secret[str]` and give it `Secret("...")`; `reveal()` gives the value back. It
    compares by value, and refuses to be pickled, formatted or turned into text other than `***`.
    """

    __slots__ = ("__value",)

    def __init__(self, value: T) -> None:
        if isinstance(value, Secret):
            raise TypeError("a Secret does not wrap another Secret")
        self.__value = value

    def reveal(self) -> T:
        """The value itself."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return bool(self.__value == other.reveal())

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    # dataclasses.asdict() deep-copies what it finds: the copy is the wrapper again, never the value.
    def __copy__(self) -> Secret[T]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret[T]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a Secret cannot be pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """In a pydantic model a plain text is wrapped, and JSON shows `***`."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            _wrapped,
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "format": "password", "writeOnly": True}


def _wrapped(value: Any) -> Secret[Any]:
    if isinstance(value, str):
        return Secret(value)
    if not isinstance(value, Secret):
        raise ValueError("expected a Secret or its text")
    return value
