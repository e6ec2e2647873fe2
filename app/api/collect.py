"""Reading a body so that one wrong member does not hide what is wrong with the others."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.api.problem import to_faults
from app.errors import Fault, Refused

Model = TypeVar("Model", bound=BaseModel)


def collect(model: type[Model], raw: object, at: str = "") -> tuple[Model, list[Fault]]:
    """Return ``raw`` as a ``model`` without its faulty members, and the faults (``at``: where)."""
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    faults = [Fault(at + each.pointer, each.code, each.detail) for each in to_faults(found)]
    if not isinstance(raw, Mapping):
        return model.model_construct(), faults
    faulty = {each["loc"][0] for each in found if each["loc"]}
    try:
        return (
            model.model_validate({name: raw[name] for name in raw if name not in faulty}),
            faults,
        )
    except ValidationError:  # a member that has to be there
        return model.model_construct(), faults


def refer(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a body that ``collect`` reads; ``describe`` puts ``model`` in OpenAPI."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


@contextmanager
def gather(faults: list[Fault]) -> Iterator[None]:
    """Add what is refused inside to ``faults``, so that the next thing is looked at too."""
    try:
        yield
    except Refused as error:
        faults += error.faults
