"""Pydantic's validation errors as messages of the catalog."""

from typing import Any

from pydantic import ValidationError

from bookinfo_lab.errors import Message, described, manifest_errors
from bookinfo_lab.resources.documents import FieldPath

_TYPES = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "an object",
    "string_type": "a string",
    "tuple_type": "a list",
}


class InvalidValueError(ValueError):
    """What a validator of a model raises: a value error with a message of the catalog."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


def first_error(error: ValidationError, *, unknown_fields: bool = False) -> tuple[Message, FieldPath]:
    """Return the message about the first error, and the path of the field below the validated object.

    `unknown_fields`: no schema has excluded fields that the API does not define.
    """
    details = error.errors()[0]
    path = details["loc"]
    if unknown_fields and details["type"] == "extra_forbidden":
        return manifest_errors.unknown_or_unsupported_field(str(path[-1])), path
    return _message(details), path[:-1] if details["type"] == "missing" else path


def _message(details: Any) -> Message:
    context = details.get("ctx", {})
    value = details["input"]
    match details["type"]:
        case "value_error" if isinstance(context["error"], InvalidValueError):
            message: Message = context["error"].message
            return message
        case "extra_forbidden":
            return manifest_errors.unsupported_field(str(details["loc"][-1]))
        case "missing":
            return manifest_errors.missing_field(str(details["loc"][-1]))
        case "literal_error":
            return manifest_errors.unsupported_value(_text(value), [context["expected"].replace("'", "")])
        case "greater_than_equal":
            return manifest_errors.out_of_range(value, context["ge"])
        case "less_than_equal":
            return manifest_errors.out_of_range(value, 1, context["le"])
        case "too_short":
            return manifest_errors.empty_list(str(details["loc"][-1]))
        case kind if kind in _TYPES:
            fix = (
                "quote it" if kind == "string_type" else "remove the quotes" if isinstance(value, str) else "correct it"
            )
            return manifest_errors.wrong_type(_TYPES[kind], described(value), fix)
        case _:
            return manifest_errors.invalid_value(_text(value), f"correct it: {details['msg']}")


def _type_fix(kind: str, value: object) -> str:
    if kind == "string_type":
        return "quote it"
    return "remove the quotes" if isinstance(value, str) else "correct it"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
