"""Sends the messages of hooks, each hook by itself: one that does not answer keeps no other waiting."""

import logging
import random
import threading

import msgspec
import sqlalchemy as sa

from cairn.clock import Clock
from cairn.db.engine import reading
from cairn.errors import CairnError
from cairn.http_client import Call, HttpClient
from cairn.http_client.retry import retry_s
from cairn.signing.webhook import signed
from cairn.sync import hooks
from cairn.sync.deliver.answer import check_accepted
from cairn.sync.deliver.page import NotAccepted
from cairn.sync.hooks import Hook, Message
from cairn.workspace.sealed import Seal

logger = logging.getLogger(__name__)

TICK_S = 1.0
THREADS = 4
LONGEST_RETRY_S = 60.0
SECRET_HEADER = "x-vwo-auth"  # as the vendor's webhooks carry it; source: contracts/wingify.md section 13.1


class HookSender:
    def __init__(self, engine: sa.Engine, seal: Seal, client: HttpClient, clock: Clock) -> None:
        self._engine, self._seal, self._client, self._clock = engine, seal, client, clock
        self._wake, self._lock = threading.Event(), threading.Lock()
        self._changed: set[int] = set()  # environments whose hooks are to be told
        self._running: dict[int, threading.Thread] = {}

    def settings_changed(self, environment_ids: set[int]) -> None:
        """Settings files of these environments were published, and are others than before. Cheap, from any thread."""
        with self._lock:
            self._changed |= environment_ids
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wake.wait(TICK_S)
            self._wake.clear()
            try:
                self._start_due()
            except Exception as error:  # the job boundary: nothing is lost, it is due still
                logger.warning("hooks_wait", exc_info=error)
                stop.wait(TICK_S)

    def settle(self) -> None:
        """Send all that is due now. For tests."""
        while started := self._start_due():
            for thread in started:
                thread.join()

    def _start_due(self) -> list[threading.Thread]:
        self._running = {hook_id: thread for hook_id, thread in self._running.items() if thread.is_alive()}
        self._note_news()
        with reading(self._engine) as connection:
            due = hooks.due_messages(connection, self._clock())
        started = []
        for hook, message in due:
            if hook.id not in self._running and len(self._running) < THREADS:
                thread = threading.Thread(
                    target=self._send, args=(hook, message), name=f"hook-{hook.id}", daemon=True
                )
                self._running[hook.id] = thread
                thread.start()
                started.append(thread)
        return started

    def _note_news(self) -> None:
        """Keep the messages that are to be sent. What cannot be kept now is kept at the next look."""
        with self._lock:
            changed = set(self._changed)
        with reading(self._engine) as connection:
            has_news = hooks.has_news_of_syncs(connection, self._clock())
        if changed or has_news:
            with self._engine.begin() as connection:
                hooks.tell_settings_changed(connection, changed, self._clock())
                hooks.tell_of_syncs(connection, self._clock())
            with self._lock:
                self._changed -= changed

    def _send(self, hook: Hook, message: Message) -> None:
        status, error, asked_s = 200, "", None
        try:
            with reading(self._engine) as connection:
                secret = hooks.secret_of(connection, self._seal, hook)
            now, body = self._clock(), msgspec.json.encode(message.body)
            headers = signed(secret, message.id, now, body)
            if hook.kind == "settings":
                headers[SECRET_HEADER] = secret
            answer = self._client.send(Call("POST", hook.url, headers, body))
            status = answer.status
            check_accepted(answer, now)
        except CairnError as failure:
            error, status = str(failure), status if isinstance(failure, NotAccepted) else 0
            asked_s = failure.retry_after_s if isinstance(failure, NotAccepted) else None
        except Exception as failure:  # the job boundary: one hook's failure is its own
            logger.exception("hook_failed", extra={"hook": hook.id})
            error, status = str(failure), 0
        wait_s = retry_s(message.attempts + 1, asked_s, random.random(), longest_s=LONGEST_RETRY_S)
        with self._engine.begin() as connection:
            hooks.save_answer(
                connection, hook, message, status=status, error=error, wait_s=wait_s, now=self._clock()
            )
        self._wake.set()
