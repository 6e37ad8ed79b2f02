from collections.abc import Callable
from dataclasses import replace

from cairn.store.errors import QuestionCancelled
from cairn.web.app import build_web
from tests.gone import Endless, leave_once_asked
from tests.web.conftest import Browser, World

HERE = "/env/production"


def test_the_questions_of_a_page_that_was_left_are_stopped_in_the_engine(
    world: World, browse: Callable[..., Browser]
) -> None:
    cookies = browse(world.core).sign_in(world.a.email()).client.cookies
    world.event("Paid")
    store = Endless(world.core.store)  # type: ignore[arg-type]
    app = build_web(replace(world.core, store=store))  # type: ignore[arg-type]
    headers = {"host": "cairn.test", "cookie": "; ".join(f"{name}={text}" for name, text in cookies.items())}
    leave_once_asked(app, store, HERE, headers)
    assert store.errors
    assert all(isinstance(error, QuestionCancelled) for error in store.errors)
