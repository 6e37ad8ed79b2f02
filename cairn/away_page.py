"""What people see while the core is away: a page that comes back by itself, or the form they sent, to be sent again.

Made by the edge, which has no templates. What was typed is shown to the page of ours that sent it and to nobody else:
escaped, up to a limit, and never with a password or another secret in it.
"""

import secrets
from collections.abc import Iterable
from html import escape
from urllib.parse import parse_qsl, urlsplit

# Bytes; as much as the core keeps of a form (web/kept_form.py).
MOST_KEPT = 200 * 1024
MOST_FIELDS = 2_000
_FORM = b"application/x-www-form-urlencoded"
# A form with one of these is never written back: passwords, and keys and tokens that somebody pasted.
_SECRET_WORDS = ("password", "passwd", "secret", "token")
_SECRET_NAMES = frozenset({"current", "again", "key_secret"})
# For every form: who it was made for. Sent again, but not for the eye.
_OURS = frozenset({"csrf", "author", "do", "edition", "editor", "order"})

Headers = Iterable[tuple[bytes, bytes]]
Pairs = list[tuple[str, str]]

_STYLE = """
:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:light-dark(#f6f5f2,#161614);
color:light-dark(#23211d,#ece9e2);font:400 .9375rem/1.5 "Inter Variable","Inter",system-ui,sans-serif}
main{max-width:30rem;padding:2rem;text-align:center}
svg{color:light-dark(#2f6b52,#6fbf98);margin-bottom:1rem}
h1{margin:0 0 .5rem;font-size:1.375rem;font-weight:640;letter-spacing:-.012em}
p{margin:0 0 1rem;color:light-dark(#5f5a51,#b3ada1)}
button{font:inherit;font-weight:560;min-height:2.75rem;padding:.5rem 1rem;border:0;border-radius:.5rem;cursor:pointer;
background:light-dark(#2f6b52,#6fbf98);color:light-dark(#fff,#10201a)}
details{margin-top:1.5rem;text-align:left}
summary{padding:.625rem 0;cursor:pointer}
dl{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.25rem 1rem}
dt{font-family:ui-monospace,monospace;color:light-dark(#5f5a51,#b3ada1)}
dd{margin:0;overflow-wrap:anywhere;white-space:pre-wrap}
ellipse{animation:rest 1.6s ease-in-out infinite}ellipse:nth-of-type(2){animation-delay:.15s}
ellipse:nth-of-type(3){animation-delay:.3s}@keyframes rest{50%{opacity:.45}}
@media(prefers-reduced-motion:reduce){ellipse{animation:none}}
"""
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Restarting · Cairn</title>
%s<style nonce="%s">%s</style></head><body><main>
<svg width="56" height="56" viewBox="0 0 56 56" fill="currentColor" aria-hidden="true">
<ellipse cx="28" cy="46" rx="22" ry="7"/>
<ellipse cx="28" cy="31" rx="15" ry="6"/>
<ellipse cx="28" cy="18" rx="9" ry="5"/>
</svg>
<h1>Cairn’s pages are restarting</h1>
"""
_REFRESH = '<noscript><meta http-equiv="refresh" content="1"></noscript>\n'
_COMES_BACK = """<p>Events and flags go on. This page comes back by itself.</p>
</main>
<script nonce="%s">
// Asks quietly until the core answers: a page that reloads every second is read out every second.
setInterval(async () => {
  const answer = await fetch(location.href, { method: "HEAD", headers: { accept: "text/html" } }).catch(() => null)
  if (answer && answer.status !== 503) location.replace(location.pathname + location.search)
}, 1000)
</script>
</body></html>
"""
_SAYS_WHEN = """<script nonce="%s">
const said = document.querySelector("[role=status]")
const asking = setInterval(async () => {
  const answer = await fetch("/", { method: "HEAD", headers: { accept: "text/html" } }).catch(() => null)
  if (!answer || answer.status === 503) return
  clearInterval(asking)
  said.textContent = said.dataset.back
}, 1000)
</script>
</body></html>
"""
_SAVED_NOTHING = "Nothing was saved, and nothing of what you typed is lost. Events and flags go on."
_SAVED_PERHAPS = (
    "Cairn stopped while it had your form, so it may be saved already. Nothing of what you typed is lost. "
    "Events and flags go on."
)
_NOT_KEPT = (
    "What you sent was not saved, and it is not shown here. Go back: your browser mostly still has it."
)


def away_page() -> tuple[bytes, str]:
    """For a page that was asked for. The page, and its Content-Security-Policy."""
    nonce = secrets.token_urlsafe(16)
    page = _HEAD % (_REFRESH, nonce, _STYLE) + _COMES_BACK % nonce
    return page.encode(), _policy(nonce)


def away_form(path: str, pairs: Pairs | None, *, may_be_saved: bool) -> tuple[bytes, str]:
    """For a form that was sent to this path. `pairs` None: it cannot be kept."""
    nonce = secrets.token_urlsafe(16)
    said = _NOT_KEPT if pairs is None else _SAVED_PERHAPS if may_be_saved else _SAVED_NOTHING
    back = "Cairn is back: go back and send it." if pairs is None else "Cairn is back: send it again."
    page = (
        _HEAD % ("", nonce, _STYLE)
        + f'<p>{said}</p>\n<p role="status" data-back="{back}">It can be sent in a moment.</p>\n'
    )
    if pairs is not None:
        page += _form(path, pairs) + _typed(pairs)
    return (page + "</main>\n" + _SAYS_WHEN % nonce).encode(errors="replace"), _policy(nonce)


def may_keep(method: str, headers: Headers) -> bool:
    """A plain form of a page of ours: no part of a page, and sent by no other site."""
    named = dict(headers)
    kind = named.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return method == "POST" and kind == _FORM and b"hx-request" not in named and _is_ours(named)


def _is_ours(headers: dict[bytes, bytes]) -> bool:
    """As the browser reports. Without a report nothing of what was sent is shown."""
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin"
    origin = urlsplit(headers.get(b"origin", b"").decode("latin-1")).netloc
    return bool(origin) and origin == headers.get(b"host", b"").decode("latin-1")


def fields_of(body: bytes) -> Pairs | None:
    """The form's names and values; None: it cannot be read, or holds a secret."""
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return None
    return None if any(_is_secret(name) for name, _ in pairs) else pairs


def _is_secret(name: str) -> bool:
    plain = name.lower()
    return plain in _SECRET_NAMES or any(word in plain for word in _SECRET_WORDS)


def _form(path: str, pairs: Pairs) -> str:
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">\n' for name, value in pairs
    )
    return f'<form method="post" action="{escape(path)}">\n{hidden}<button>Send it again</button>\n</form>\n'


def _typed(pairs: Pairs) -> str:
    shown = [
        (name, value)
        for name, value in pairs
        if value and name not in _OURS and not name.endswith((".id", ".drawn"))
    ]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in shown)
    return f"<details>\n<summary>What you typed</summary>\n<dl>\n{rows}</dl>\n</details>\n" if rows else ""


def _policy(nonce: str) -> str:
    """As the pages have it (web/guard.py), with the style in the page, because its file is the core's."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            f"style-src 'nonce-{nonce}'",
            "connect-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )
