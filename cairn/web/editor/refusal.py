"""Why a form was not saved, in its reader's words: each message at the control that is wrong. Pure.

The API names fields by their path, such as `condition.event.filters[0].value`; a page names the control that the
reader sees, with its label.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from cairn.errors import CairnError, InvalidInput
from cairn.web.editor.choices import in_words
from cairn.workspace.edits import Edit

_LIST = re.compile(r"\bvalues(\[\d+\])?$")
_ITEM = re.compile(r"\b([a-z])[a-z]*\[(\d+)\]")
_OUTER = re.compile(r"^(condition|definition)\.|\b(event|window)\.(?=.)")
_VERBS = ("is ", "has ", "holds ")


class Wording(Struct, frozen=True):
    """How an editor calls its controls.

    A control of a row is named by the last part of its name with its dot, such as `.key`.
    """

    labels: Mapping[str, str]

    def label_of(self, control: str) -> str:
        """Empty: there is no such control."""
        _, dot, last = control.rpartition(".")
        return self.labels.get(dot + last, "")


class Stored(Struct, frozen=True):
    """A field as it is stored now."""

    label: str
    text: str


class Refused(Struct, frozen=True):
    """What a form shows above itself and at its controls when it is shown again as typed."""

    status: int = 200
    # Control -> message.
    at: Mapping[str, str] = {}
    # About the form as a whole.
    said: str = ""
    # Somebody's changes since the form was opened, newest first; what they made of it, and its version.
    newer: Sequence[Edit] = ()
    stored: Sequence[Stored] = ()
    edition: int = 0

    def under(self, row: str) -> dict[str, str]:
        """The messages of a row's own controls, not those of the rows within it."""
        return {
            name: message
            for name, message in self.at.items()
            if name == row or (name.startswith(f"{row}.") and "." not in name[len(row) + 1 :])
        }


class FormRefused(InvalidInput):
    """Several controls of a form are wrong. The message is the first one's."""

    code = "form_refused"

    def __init__(self, at: Mapping[str, str]) -> None:
        field, message = next(iter(at.items()))
        self.at = dict(at)
        super().__init__(message, field=field)


def control_of(field: str) -> str:
    """`condition.event.filters[0].value` -> `f0.value`, `definition.parts[1].selector` -> `p1.selector`."""
    return _ITEM.sub(r"\1\2", _LIST.sub("value", _OUTER.sub("", field)))


def message_of(error: CairnError, label: str = "") -> str:
    """The error's words without the API's path, beginning with the label."""
    said = str(error)
    if error.field:
        said = said.removeprefix(error.field).lstrip(":. ")
    said = in_words(said)
    if not label:
        return said[:1].upper() + said[1:]
    return f"{label} {said}" if said.startswith(_VERBS) else f"{label}: {said}"


def placed(error: CairnError, wording: Wording, row: str = "") -> dict[str, str]:
    """The message at its control; with `row`, of the row that was checked by itself. Empty: at no control."""
    control = ".".join(filter(None, (row, control_of(error.field))))
    label = wording.label_of(control)
    if not label and not row:
        return {}
    return {control if label else row: message_of(error, label)}


def refuse(error: CairnError, wording: Wording) -> Refused:
    if isinstance(error, FormRefused):
        return Refused(error.status, error.at)
    at = placed(error, wording)
    return Refused(error.status, at, "" if at else message_of(error))
