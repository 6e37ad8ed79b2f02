"""A question without its environment cannot be made, and one that was made by force sees nothing of another's."""

import ast
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.clock import to_ms
from cairn.event import Element, Refused
from cairn.outcomes import Reason
from cairn.query.scope import Scope
from cairn.store.question import ad_hoc
from cairn.store.schema import DATABASE
from cairn.store.statement import Statement, UnboundQuestion, seal
from cairn.store.store import AccountChange, MapChange, PropertyChange, SeenElement, Store, VisitorRow
from cairn.store.tenancy import TENANT_TABLES
from tests.query.events import event

CAIRN = Path(__file__).parents[2] / "cairn"
# Refusals are kept for thirty days by the clock.
NOW_MS = to_ms(datetime.now(UTC))
TABLES = ("events", "user_properties", "account_properties", "elements", "refusals", "visitors")
rows_of = st.tuples(
    st.sampled_from(TABLES), st.lists(st.sampled_from(["1", "1 OR 1", "0 OR (1)"]), max_size=3)
)


@given(parts=st.lists(rows_of, min_size=1, max_size=4))
def test_every_row_that_a_scope_gives_is_compared_with_its_environment(
    parts: list[tuple[str, list[str]]],
) -> None:
    scope = Scope(7)
    selects = [f"SELECT count() FROM {getattr(scope, table)(*clauses)}" for table, clauses in parts]
    statement = scope.statement(" UNION ALL ".join(selects))
    reads = re.findall(rf"{DATABASE}\.\w+(.*?)(?= UNION ALL |$)", statement.sql)
    assert len(reads) == len(parts)
    for read in reads:
        # The clauses are in brackets of their own: no OR among them undoes the comparison.
        assert re.match(
            r" WHERE environment_id = \{environment:UInt32\}( AND \((1|1 OR 1|0 OR \(1\))\))*$", read
        )
    assert statement.environment_id == 7
    assert "environment" not in statement.parameters


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Statement(), id="by its class"),
        pytest.param(lambda: Scope(1).statement("SELECT count() FROM cairn.events"), id="of a text alone"),
        pytest.param(lambda: Scope(1).statement("SELECT 1"), id="of no table"),
        pytest.param(
            lambda: (scope := Scope(1)).statement(
                f"SELECT 1 FROM {scope.events()} SETTINGS additional_table_filters = {{}}"
            ),
            id="with filters of its own",
        ),
        pytest.param(
            lambda: (scope := Scope(1)).statement(f"SELECT 1 FROM {scope.events()}", environment=2),
            id="with the environment as a parameter",
        ),
        pytest.param(
            lambda: (scope := Scope(1)).statement(
                "SELECT 1 FROM " + scope.events(scope.bindings.text("x")), bound_0="y"
            ),
            id="with a parameter that is bound already",
        ),
    ],
)
def test_a_statement_without_its_environment_cannot_be_made(make: object) -> None:
    with pytest.raises(UnboundQuestion):
        make()  # type: ignore[operator]


@pytest.fixture(scope="module")
def two(store: Store) -> Store:
    """One row in every table for environment 3, and two for environment 4."""
    for environment_id, count in ((3, 1), (4, 2)):
        for number in range(count):
            at = NOW_MS + number
            store.insert_events([event(environment_id, at, user_id=number)])
            store.insert_properties([PropertyChange(environment_id, number, "plan", "x", at, at)])
            store.insert_account_properties(
                [AccountChange(environment_id, f"a{number}", "plan", "x", at, at)]
            )
            store.insert_user_map([MapChange(environment_id, number, 99, at)])
            store.insert_visitors([VisitorRow(environment_id, number, 1, 1)])
            store.insert_elements([SeenElement(environment_id, number + 1, Element(text="x"), at)])
            store.insert_refusals([Refused(environment_id, at, Reason.BOT, "", "", "", "", "", number + 1)])
    return store


@pytest.mark.parametrize("table", TENANT_TABLES)
@pytest.mark.parametrize(
    "text",
    [
        "SELECT count() FROM cairn.{0}",
        "SELECT count() FROM (SELECT * FROM cairn.{0})",
        "WITH all AS (SELECT * FROM cairn.{0}) SELECT count() FROM all",
        "SELECT toUInt64(sum(1)) FROM cairn.{0} WHERE environment_id > 0 OR 1",
        "SELECT (SELECT count() FROM cairn.{0} AS other)",
        "SELECT uniqExact(environment_id) * count() FROM cairn.{0} FINAL",
        "SELECT countIf(environment_id IN (SELECT environment_id FROM cairn.{0})) FROM cairn.{0}",
        "SELECT count() FROM cairn.{0} SETTINGS max_threads = 1",
    ],
    ids=[
        "plain",
        "a subquery",
        "a name",
        "another filter",
        "a value",
        "the newest rows",
        "a set",
        "settings",
    ],
)
def test_whatever_a_text_says_it_sees_its_environments_rows_only(two: Store, table: str, text: str) -> None:
    if "FINAL" in text and table in ("events", "refusals"):
        text = text.replace(" FINAL", "")
    for environment_id, rows in ((3, 1), (4, 2), (5, 0)):
        forged = seal(environment_id, text.format(table), {}, reads_user_map=False)
        assert two.query(forged) == [(rows,)]


def test_a_join_of_all_environments_joins_one(two: Store) -> None:
    text = "SELECT count() FROM cairn.events AS a, cairn.user_properties AS b"
    counts = [two.query(seal(number, text, {}, reads_user_map=False))[0][0] for number in (3, 4, 5)]
    assert counts == [1, 4, 0]


def test_every_table_with_environments_is_held_to_one(store: Store) -> None:
    sql = f"""SELECT DISTINCT table FROM system.columns
              WHERE database = '{DATABASE}' AND name = 'environment_id' AND {{environment:UInt32}} = 1"""
    dictionaries = {"merged_users"}
    assert {row[0] for row in store.query(ad_hoc(1, sql))} - dictionaries == set(TENANT_TABLES)


HOMES = {
    # Who may make a statement of a text.
    "cairn.store.statement.seal": ("query/scope.py", "store/question.py"),
    "cairn.store.question.ad_hoc": (),
    # The tables' names.
    "cairn.store.schema.DATABASE": ("query/scope.py", "store/"),
    # Text for the event store.
    "cairn.query.scope.Scope": (
        "query/",
        "analysis/",
        "conditions/to_sql.py",
        "segments/facts.py",
        "segments/questions.py",
        "segments/explain.py",
    ),
}
_TABLE = re.compile(rf"\b{DATABASE}\.({'|'.join(TENANT_TABLES)})\b")


def outsiders(folder: Path, name: str) -> set[str]:
    """Modules below the folder that import something whose home they are not, by name or with its module."""
    module = name.rpartition(".")[0]
    users = {
        str(path.relative_to(folder)) for path in folder.rglob("*.py") if {name, module} & imported(path)
    }
    return {user for user in users if not user.startswith((*HOMES[name], "store/"))}


def imported(path: Path) -> set[str]:
    """What a module imports, as `package.module.name`; whole modules as `package.module`."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {
        f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return names | {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}


def naming_tables(folder: Path) -> set[str]:
    """Modules outside of `store/` with a text that names a table of the event store."""
    found = set()
    for path in folder.rglob("*.py"):
        constants = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        texts = [node.value for node in constants if isinstance(node.value, str)]
        if any(map(_TABLE.search, texts)):
            found.add(str(path.relative_to(folder)))
    return {path for path in found if not path.startswith("store/")}


@pytest.mark.parametrize("name", HOMES)
def test_only_few_places_write_text_for_the_event_store(name: str) -> None:
    assert outsiders(CAIRN, name) == set()


def test_no_text_outside_of_the_store_names_its_tables() -> None:
    assert naming_tables(CAIRN) == set()


@pytest.mark.parametrize("name", HOMES)
@pytest.mark.parametrize(
    "form", ["from {module} import {last}", "from {package} import {middle}", "import {module}"]
)
def test_a_place_that_may_not_is_found(tmp_path: Path, name: str, form: str) -> None:
    module, _, last = name.rpartition(".")
    package, _, middle = module.rpartition(".")
    path = tmp_path / "web/pages/spoilt.py"
    path.parent.mkdir(parents=True)
    path.write_text(form.format(module=module, last=last, package=package, middle=middle))
    assert outsiders(tmp_path, name) == {"web/pages/spoilt.py"}


def test_a_text_that_names_a_table_is_found(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        f'TABLE = "events"\nSQL = f"SELECT 1 FROM {DATABASE}.events WHERE {{TABLE}}"\n'
    )
    assert naming_tables(tmp_path) == {"app.py"}
