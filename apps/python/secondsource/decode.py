"""From JSON to dataclasses, by their type hints. A field without a default must be there; unknown fields are left out, since
later versions add some."""

import dataclasses
import enum
import json
import typing
from typing import Any, Dict, Mapping, Tuple, Type, TypeVar

from .error import RunError

T = TypeVar("T")


def parse_json(text: bytes, where: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as why:
        raise RunError(f"{where}: expected JSON: {str(why).splitlines()[0]}") from None


_known_fields: Dict[Any, Tuple[Tuple[str, Any, bool], ...]] = {}


def _fields(kind: Any) -> Tuple[Tuple[str, Any, bool], ...]:
    """Name, type and whether it may be missing. Kept, because type hints are slow and samples many."""
    if kind in _known_fields:
        return _known_fields[kind]
    hints = typing.get_type_hints(kind)
    _known_fields[kind] = tuple(
        (
            field.name,
            hints[field.name],
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
    )
    return _known_fields[kind]


def _found(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "..."


def decode(kind: Type[T], value: Any, where: str) -> T:
    """Raises RunError, beginning with `where`, for what is missing or of another type."""
    return typing.cast(T, _decode(kind, value, where))


def _decode(kind: Any, value: Any, where: str) -> Any:
    def expected(what: str) -> RunError:
        return RunError(f"{where}: expected {what}, found {_found(value)}")

    if kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:  # Optional
        return None if value is None else _decode(arguments[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise expected("an array")
        if arguments[0] in (int, str) and all(type(element) is arguments[0] for element in value):
            return tuple(value)  # every gap between tokens is one
        return tuple(_decode(arguments[0], element, f"{where}[{i}]") for i, element in enumerate(value))
    if origin is not None:  # Mapping
        if not isinstance(value, dict):
            raise expected("an object")
        return {key: _decode(arguments[1], element, f"{where}: {key}") for key, element in value.items()}
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise expected("an object")
        given: Dict[str, Any] = {}
        for name, hint, may_be_missing in _fields(kind):
            if name in value:
                given[name] = _decode(hint, value[name], f"{where}: {name}")
            elif not may_be_missing:
                raise RunError(f"{where}: {name}: missing")
        return typing.cast(Type[Any], kind)(**given)
    if issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError:
            raise expected("one of " + ", ".join(repr(one.value) for one in kind)) from None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    names: Mapping[Any, str] = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}
    if type(value) is not kind:
        raise expected(names[kind])
    return value
