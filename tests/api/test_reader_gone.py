from dataclasses import replace

from starlette.applications import Starlette

from cairn.api.app import build_api
from cairn.store.errors import QuestionCancelled
from cairn.workspace.permission import Role
from tests.api.conftest import World
from tests.gone import Endless, leave_once_asked


def test_the_questions_of_a_call_that_was_given_up_are_stopped_in_the_engine(world: World) -> None:
    store = Endless(world.core.store)  # type: ignore[arg-type]
    app = Starlette(routes=build_api(replace(world.core, store=store)))  # type: ignore[arg-type]
    headers = {"host": "testserver", "authorization": f"Bearer {world.a.tokens[Role.EDITOR]}"}
    path = f"/api/v1/defined-events/{world.a.event_id}/counts?environment=production"
    leave_once_asked(app, store, path, headers)
    assert store.errors
    assert all(isinstance(error, QuestionCancelled) for error in store.errors)
