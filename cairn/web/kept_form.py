"""A form that could not be taken is kept: carried through signing in, or shown to be sent again. Pure but for the seal.

A form says who it was made for (`author`), signed together with its forgery token. What is carried through signing in
is sealed for that member of that workspace, and given to nobody else. Forms with passwords are never kept.
"""

import hmac
from hashlib import sha256

import msgspec
from msgspec import Struct

from cairn.errors import Misconfigured
from cairn.web.form import Form
from cairn.web.guard import safe_next
from cairn.workspace.sealed import Seal
from cairn.workspace.session import Session

# Bytes of names and values: sealed, the form of the sign-in page stays below what a form may have.
MOST = 200 * 1024
LASTS_MS = 86_400_000
# Not the reader's words: every form gets a new one.
OURS = frozenset({"csrf", "author"})
SECRETS = frozenset({"password", "current", "again", "target_secret"})
SECRET = "secret."  # a connection's secrets begin with it


class KeptForm(Struct, frozen=True):
    member_id: int
    workspace_id: int
    path: str
    pairs: list[tuple[str, str]]
    kept_ms: int

    @property
    def is_editor(self) -> bool:
        """It is shown again with what was typed, before anything is saved."""
        return any(name == "editor" for name, _ in self.pairs)


def author_of(seal: Seal, session: Session) -> str:
    """For a hidden field of every form: who it was made for."""
    member = session.member
    return (
        f"{member.workspace_id}.{member.id}.{_signature(seal, member.workspace_id, member.id, session.csrf)}"
    )


def _signature(seal: Seal, workspace_id: int, member_id: int, csrf: str) -> str:
    said = f"{workspace_id}.{member_id}.{csrf}".encode(errors="surrogatepass")
    return hmac.digest(seal.key_for("author of a form"), said, sha256).hex()


def keep(seal: Seal, form: Form, path: str, now_ms: int) -> KeptForm | None:
    """None: not a form of a page of ours, too large, or with a secret in it."""
    workspace, _, rest = form("author").partition(".")
    member, _, signature = rest.partition(".")
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in (workspace, member)):
        return None
    expected = _signature(seal, int(workspace), int(member), form("csrf"))
    if not hmac.compare_digest(expected.encode(), signature.encode(errors="surrogatepass")):
        return None
    pairs = [(name, value) for name, value in form if name not in OURS]
    size = sum(len(text.encode(errors="replace")) for pair in pairs for text in pair)
    if size > MOST or safe_next(path) != path or any(map(_is_secret, pairs)):
        return None
    return KeptForm(int(member), int(workspace), path, pairs, now_ms)


def _is_secret(pair: tuple[str, str]) -> bool:
    return pair[0] in SECRETS or pair[0].startswith(SECRET)


def sealed(seal: Seal, kept: KeptForm) -> str:
    return seal.close(msgspec.json.encode(kept).decode()).decode()


def opened(seal: Seal, text: str, session: Session, now_ms: int) -> KeptForm | None:
    """None: none, too old, or somebody else's."""
    try:
        kept = msgspec.json.decode(seal.open(text.encode()), type=KeptForm)
    except (Misconfigured, msgspec.MsgspecError, UnicodeEncodeError):
        return None
    member = session.member
    is_theirs = (kept.member_id, kept.workspace_id) == (member.id, member.workspace_id)
    return kept if is_theirs and 0 <= now_ms - kept.kept_ms <= LASTS_MS else None
