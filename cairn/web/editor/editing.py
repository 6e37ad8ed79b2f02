"""The flow of every editor: open, change rows, save; a refused save keeps what was typed.

An editor is described by an `Editor`. It shows why a save was refused: at the wrong control, or above the form when
somebody else changed or deleted the thing meanwhile, with what is stored now and a way to save all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from msgspec import Struct
from starlette.responses import Response

from cairn.app.editions import Edited, deletion_of
from cairn.errors import CairnError, NotFound
from cairn.web.editor.form_rows import change, read
from cairn.web.editor.refusal import Refused, Stored, Wording, refuse
from cairn.web.render import full_time
from cairn.web.visit import Visit
from cairn.workspace.edits import Edit, Kind, StaleVersion

SAVE = "save"
# Then the version that the reader has been shown: save in spite of it.
OVER = "save-over "

ThingT = TypeVar("ThingT")
DraftT = TypeVar("DraftT", bound=Struct)
Values = Mapping[str, Any]  # Any: what the template shows


class Addresses(Struct, frozen=True):
    """Where an editor's form goes, and where Cancel leads."""

    action: str
    back: str

    @classmethod
    def below(cls, visit: Visit, path: str, stored_id: int | None) -> "Addresses":
        """Of a thing with a page of its own below a list's path; None: of a new one."""
        if stored_id is None:
            return cls(visit.url(f"{path}/new"), visit.url(path))
        page = visit.url(f"{path}/{stored_id}")
        return cls(f"{page}/edit", page)


@dataclass(frozen=True)
class Editor(Generic[ThingT, DraftT]):
    """One kind of thing and its form. `None` for a thing: it is new."""

    kind: Kind
    template: str
    wording: Wording
    draft: type[DraftT]
    # The thing of the address. Raises NotFound.
    find: Callable[[Visit], Edited[ThingT]]
    draft_of: Callable[[Visit, ThingT], DraftT]
    addresses: Callable[[Visit, ThingT | None], Addresses]
    # What the template needs beside the draft.
    values: Callable[[Visit, ThingT | None, DraftT], Values]
    # With the version that was seen. Raises CairnError with the control or API field at fault.
    save: Callable[[Visit, ThingT | None, DraftT, int | None], Response]
    # By field of `Edit.what`: how it is called and what it is now.
    stored: Callable[[Visit, ThingT], Mapping[str, Stored]]
    # The part of the address that is the thing's number; empty: it cannot be deleted.
    parameter: str = ""
    read: Callable[[Visit, type[DraftT]], DraftT] = lambda visit, kind: read(visit.form, kind)
    change: Callable[[DraftT, str], DraftT] = change
    # Buttons that neither save nor change rows; what they add to the values.
    actions: Mapping[str, Callable[[Visit, ThingT | None, DraftT], Values]] = field(default_factory=dict)

    def open(self, visit: Visit) -> Response:
        """The form of the thing of the address."""
        thing = self.find(visit)
        return self.show(visit, thing, self.draft_of(visit, thing.value))

    def show(
        self,
        visit: Visit,
        thing: Edited[ThingT] | None,
        draft: DraftT,
        refused: Refused | None = None,
        more: Values | None = None,
    ) -> Response:
        value = thing.value if thing else None
        seen = visit.seen_edition if visit.request.method == "POST" else None
        edition = None if thing is None else thing.edition if seen is None else seen
        return visit.page(
            self.template,
            status=refused.status if refused else 200,
            draft=draft,
            edition=edition,
            refused=refused or Refused(),
            addresses=self.addresses(visit, value),
            changes=changes_in_words(refused.newer if refused else (), visit),
            **{**self.values(visit, value, draft), **(more or {})},
        )

    def post_new(self, visit: Visit) -> Response:
        return self._post(visit, None)

    def post(self, visit: Visit) -> Response:
        try:
            return self._post(visit, self.find(visit))
        except NotFound as error:
            if not self.parameter:
                raise
            return self._show_gone(visit, error)

    def _post(self, visit: Visit, thing: Edited[ThingT] | None) -> Response:
        draft, action = self.read(visit, self.draft), visit.form("do", SAVE)
        value = thing.value if thing else None
        try:
            if action in self.actions:
                return self.show(visit, thing, draft, more=self.actions[action](visit, value, draft))
            if action != SAVE and not action.startswith(OVER):
                return self.show(visit, thing, self.change(draft, action))
            return self.save(visit, value, draft, _expected(visit, action))
        except StaleVersion as error:
            return self._show_stale(visit, draft, error)
        except CairnError as error:
            if thing is not None and isinstance(error, NotFound):
                self.find(visit)  # raises when it is the thing itself that is gone
            return self.show(visit, thing, draft, refuse(error, self.wording))

    def _show_stale(self, visit: Visit, draft: DraftT, error: StaleVersion) -> Response:
        now = self.find(visit)
        known = self.stored(visit, now.value)
        changed = dict.fromkeys(name for edit in error.newer for name in edit.what)
        stored = [known[name] for name in changed if name in known]
        refused = Refused(
            error.status,
            said="" if error.newer else str(error),
            newer=error.newer,
            stored=stored,
            edition=now.edition,
        )
        return self.show(visit, now, draft, refused)

    def _show_gone(self, visit: Visit, error: NotFound) -> Response:
        draft = self.read(visit, self.draft)
        said = _gone(visit, self.kind, deletion_of(visit.call, self.kind, visit.number(self.parameter)))
        return self.show(visit, None, draft, Refused(error.status, said=said))


def _expected(visit: Visit, action: str) -> int | None:
    shown = action.removeprefix(OVER)
    return int(shown) if shown.isascii() and shown.isdigit() and len(shown) < 10 else visit.seen_edition


def _gone(visit: Visit, kind: Kind, deletion: Edit | None) -> str:
    who = (
        f"{deletion.by} deleted it on {full_time(deletion.at, visit.zone)}"
        if deletion
        else "it was deleted meanwhile"
    )
    return f"This {kind} is gone: {who}. What you typed is kept; save it to make a new {kind} of it."


def changes_in_words(edits: Sequence[Edit], visit: Visit) -> list[str]:
    """Who changed what and when, as sentences without a full stop."""
    return [f"{edit.by} changed {_listed(edit.what)} on {full_time(edit.at, visit.zone)}" for edit in edits]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
