"""The editors' forms: what they send becomes the condition or definition that is meant, and comes back unchanged."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from cairn.conditions.tree import (
    EVERYBODY,
    And,
    Attribute,
    Between,
    Condition,
    Device,
    Did,
    EventMatch,
    InList,
    Last,
    Location,
    Not,
    Or,
    OtherFlag,
    PropertyFilter,
    UserProperty,
    Visitor,
)
from cairn.errors import InvalidInput
from cairn.flags.model import Allocation, Flag, Metric, Rule, Variable, Variation
from cairn.web import flag_form, rule_form, segment_form
from cairn.web.editor.form_rows import change
from cairn.web.form import Form

BERLIN = ZoneInfo("Europe/Berlin")
PLAN = UserProperty("plan", "is", "premium")
BOUGHT = Did(EventMatch("custom", "Order Completed"), "at_least", 2, Last(30, "day"))
NEVER = Did(EventMatch("pageview", ""), "exactly", 0, None)


def segment_fields(draft: segment_form.SegmentDraft) -> Form:
    """The fields a browser would send of the editor that shows this draft."""
    if draft.json:
        return Form([("json", draft.json)])
    pairs = [("join", draft.join)]
    for g, group in enumerate(draft.groups):
        pairs.append((f"g{g}.join", group.join))
        for r, row in enumerate(group.rows):
            pairs += [(f"g{g}.r{r}.{f}", getattr(row, f)) for f in row.__struct_fields__ if f != "filters"]
            for f, one in enumerate(row.filters):
                pairs += [(f"g{g}.r{r}.f{f}.{name}", getattr(one, name)) for name in one.__struct_fields__]
    return Form(pairs)


@pytest.mark.parametrize(
    ("condition", "as_rows"),
    [
        pytest.param(PLAN, True, id="one property"),
        pytest.param(UserProperty("plan", "is_set"), True, id="set"),
        pytest.param(UserProperty("plan", "in", values=("a", "b c")), True, id="one of"),
        pytest.param(UserProperty("plan", "in", values=("two\nlines",)), False, id="a value of two lines"),
        pytest.param(UserProperty("plan", "is", " spaced "), True, id="blanks belong to a value"),
        pytest.param(BOUGHT, True, id="did so many times in a rolling window"),
        pytest.param(NEVER, True, id="never did"),
        pytest.param(
            Did(EventMatch("custom", "X"), "exactly", 3, Between(1_700_000_000_000, 1_700_086_400_000)),
            True,
            id="between two moments",
        ),
        pytest.param(
            Did(EventMatch("custom", "X"), window=Between(1_700_000_000_001, 1_700_086_400_000)),
            False,
            id="a moment finer than the form",
        ),
        pytest.param(
            Did(
                EventMatch(
                    "custom",
                    "X",
                    (
                        PropertyFilter("total", "greater", "10"),
                        PropertyFilter("tag", "not_in", values=("a", "b")),
                    ),
                )
            ),
            True,
            id="with filters",
        ),
        pytest.param(Did(EventMatch("identify", "")), False, id="a kind the form does not offer"),
        pytest.param(Did(EventMatch("custom", "")), False, id="any custom event"),
        pytest.param(And((PLAN, BOUGHT, NEVER)), True, id="all of"),
        pytest.param(Or((PLAN, BOUGHT)), True, id="any of"),
        pytest.param(And((Or((PLAN, BOUGHT)), NEVER)), True, id="groups"),
        pytest.param(Or((And((PLAN, BOUGHT)), And((NEVER, PLAN)))), True, id="any of groups"),
        pytest.param(And((And((Or((PLAN, NEVER)), BOUGHT)), PLAN)), False, id="three levels"),
        pytest.param(Not(PLAN), False, id="not"),
        pytest.param(EVERYBODY, False, id="everybody"),
    ],
)
@pytest.mark.parametrize("zone", [UTC, BERLIN], ids=["UTC", "Berlin"])
def test_a_condition_survives_the_segment_editor(condition: Condition, as_rows: bool, zone: object) -> None:
    draft = segment_form.from_condition(condition, zone)  # type: ignore[arg-type]
    assert (not draft.json) == as_rows
    sent = segment_form.read(segment_fields(draft))
    again, problems = segment_form.to_condition(sent, zone)  # type: ignore[arg-type]
    assert (again, problems) == (condition, {})


@pytest.mark.parametrize(
    ("row", "control", "said"),
    [
        pytest.param(
            {"what": "property", "key": ""}, "key", "Property is empty; name the property", id="no key"
        ),
        pytest.param(
            {"what": "property", "key": "age", "operator": "greater", "value": "old"},
            "value",
            "Value: 'old' is not a number; “is greater than” compares numbers",
            id="text",
        ),
        pytest.param(
            {"what": "property", "key": "a", "operator": "matches", "value": "("},
            "value",
            "regular expression",
            id="pattern",
        ),
        pytest.param(
            {"what": "property", "key": "a", "operator": "contains"},
            "value",
            "Value is empty; “contains” needs a text to look for",
            id="nothing to look for",
        ),
        pytest.param(
            {"what": "property", "key": "a", "operator": "in", "value": " \n "},
            "value",
            "values",
            id="empty list",
        ),
        pytest.param({"what": "did", "name": ""}, "name", "Event name: which event", id="no event"),
        pytest.param(
            {"what": "did", "name": "X", "count": "many"},
            "count",
            "Times: expected a whole number",
            id="count",
        ),
        pytest.param(
            {"what": "did", "name": "X", "count": "-1"}, "count", "whole number", id="negative count"
        ),
        pytest.param(
            {"what": "did", "name": "X", "window": "last", "amount": "0"},
            "amount",
            "How many is 0",
            id="empty window",
        ),
        pytest.param(
            {"what": "did", "name": "X", "window": "between", "start": "soon"},
            "start",
            "date and time",
            id="no date",
        ),
        pytest.param(
            {"what": "did", "name": "X", "window": "between", "start": "1900-01-01T00:00"},
            "start",
            "1970",
            id="too early",
        ),
        pytest.param(
            {
                "what": "did",
                "name": "X",
                "window": "between",
                "start": "2026-01-02T00:00",
                "end": "2026-01-01T00:00",
            },
            "end",
            "before",
            id="backwards",
        ),
        pytest.param(
            {"what": "did", "name": "X", "f0.key": "total", "f0.operator": "greater", "f0.value": "abc"},
            "f0.value",
            "Value: 'abc' is not a number",
            id="a filter's value",
        ),
        pytest.param(
            {"what": "did", "name": "X", "f0.key": ""}, "f0.key", "Property is empty", id="a filter's key"
        ),
    ],
)
def test_a_mistake_is_said_at_its_control_in_the_readers_words(
    row: dict[str, str], control: str, said: str
) -> None:
    good = {"g0.r0.what": "property", "g0.r0.key": "plan", "g0.r0.value": "x"}
    form = Form([*good.items(), *((f"g0.r1.{name}", value) for name, value in row.items())])
    condition, problems = segment_form.to_condition(segment_form.read(form), UTC)
    assert condition is None
    assert list(problems) == [f"g0.r1.{control}"]
    message = problems[f"g0.r1.{control}"]
    assert said in message
    assert "condition" not in message and "filters[" not in message, "the API's path"


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"type": "nothing"}', '{"type": "user_property"}', '{"type": "in_list", "attribute": "a"}'],
)
def test_json_that_is_no_condition_is_said(text: str) -> None:
    condition, problems = segment_form.to_condition(segment_form.SegmentDraft(json=text), UTC)
    assert condition is None
    assert list(problems) == ["json"]


@pytest.mark.parametrize(
    ("action", "shape"),
    [
        ("add g0.r", [3]),
        ("add g", [2, 1]),
        ("remove g0.r0", [1]),
        ("remove g0", [1]),
        ("add g0.r1.f", [2]),
        ("remove g7.r7", [2]),
        ("add", [2]),
        ("add r", [2]),
        ("add g0.x", [2]),
        ("remove g0.r", [2]),
        ("nonsense g0", [2]),
        ("", [2]),
    ],
)
def test_editor_buttons_change_rows_and_never_fail(action: str, shape: list[int]) -> None:
    draft = segment_form.SegmentDraft(
        groups=(segment_form.Group(rows=(segment_form.ConditionRow(), segment_form.ConditionRow())),)
    )
    assert [len(group.rows) for group in change(draft, action or " x").groups] == shape


FLAG = Flag(
    1,
    "checkout",
    variables=(
        Variable(1, "headline", "string", "Hello"),
        Variable(2, "limit", "integer", 5),
        Variable(4, "rate", "double", 0.5),
        Variable(5, "fancy", "boolean", False),
        Variable(7, "theme", "json", {"a": [1, None]}),
    ),
    variations=(
        Variation(1, "plain", "Plain"),
        Variation(3, "rich", "Rich", {"headline": "", "limit": 5, "rate": 2.0, "fancy": True, "theme": {}}),
    ),
    metrics=(Metric(2, "Bought", "REVENUE_TRACKING", True, "total"), Metric(5, "Viewed", has_props=True)),
)


def flag_fields(shape: flag_form.Shape) -> Form:
    pairs = []
    for at, row in enumerate(shape.variables):
        pairs += [(f"v{at}.{name}", getattr(row, name)) for name in row.__struct_fields__]
    for at, variation in enumerate(shape.variations):
        pairs += [(f"w{at}.{name}", getattr(variation, name)) for name in ("id", "key", "name")]
        pairs += [(f"w{at}.{place}", value) for place, value in enumerate(variation.values)]
    return Form(pairs)


def test_a_flag_survives_its_editor() -> None:
    """Also a value set on purpose to what the default is, and an empty text."""
    sent = flag_form.read_shape(flag_fields(flag_form.shape_of(FLAG)))
    assert flag_form.definition(sent, FLAG) == (FLAG.variables, FLAG.variations)
    assert flag_form.metrics(flag_form.metrics_of(FLAG), FLAG) == FLAG.metrics


def test_new_rows_get_numbers_nobody_had() -> None:
    shape = flag_form.change(flag_form.change(flag_form.shape_of(FLAG), "add v"), "add w")
    fields = dict(flag_fields(shape)) | {"v5.key": "extra", "v5.value": "x", "w2.key": "third"}
    variables, variations = flag_form.definition(flag_form.read_shape(Form(list(fields.items()))), FLAG)
    assert variables[-1] == Variable(8, "extra", "string", "x")
    assert (variations[-1].id, variations[-1].key) == (4, "third")
    rows = (*flag_form.metrics_of(FLAG).metrics, flag_form.MetricRow("", "Left"))
    metrics = flag_form.metrics(flag_form.Metrics(rows), FLAG)
    assert metrics[-1] == Metric(6, "Left")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1.5"),
        ("integer", "x"),
        ("double", "nan"),
        ("double", "inf"),
        ("boolean", "maybe"),
        ("json", "[1]"),
        ("json", "{"),
    ],
)
def test_a_value_of_another_type_is_said_at_its_row(kind: str, text: str) -> None:
    shape = flag_form.Shape((flag_form.VariableRow("", "a", kind, text),))
    with pytest.raises(InvalidInput) as caught:
        flag_form.definition(shape, None)
    assert caught.value.field == "v0.value"


@pytest.mark.parametrize(
    ("condition", "as_rows"),
    [
        pytest.param(EVERYBODY, True, id="everybody"),
        pytest.param(InList("id", segment_id=3), True, id="in list"),
        pytest.param(Not(InList("id", segment_id=3)), True, id="not in list"),
        pytest.param(InList("id", list_id="l1"), True, id="a list of its own"),
        pytest.param(
            And((Attribute("plan", "is", "pro"), Location("country", "Germany"))), True, id="all of"
        ),
        pytest.param(
            Or((Visitor("a,b"), OtherFlag(4, "off"), Not(Attribute("a", "is", "b")))), True, id="any of"
        ),
        pytest.param(Attribute("a", "operand", "lower(x)"), False, id="Wingify's own operand"),
        pytest.param(Device("os", "iOS"), True, id="system"),
        pytest.param(
            And((Device("device_type", "Mobile"), Device("os_version", "gt(16)"))), True, id="device"
        ),
        pytest.param(
            Or((Device("browser_string", "wildcard(*chrome*)"), Device("browser_version", "126.0.0"))),
            True,
            id="browser",
        ),
        pytest.param(Device("ua", "Mozilla"), False, id="the user agent itself"),
        pytest.param(And((Or((Visitor("a"), Visitor("b"))), Visitor("c"))), False, id="two levels"),
        pytest.param(Not(Visitor("a")), False, id="not"),
        pytest.param(Or(()), False, id="nobody"),
    ],
)
def test_an_audience_survives_the_rule_editor(condition: Condition, as_rows: bool) -> None:
    rule = Rule(
        9,
        "testing",
        "r",
        "Rule",
        condition=condition,
        traffic=12.5,
        allocations=(Allocation(1, 33.3, 11), Allocation(3, 66.7)),
    )
    draft = rule_form.draft_of(rule)
    assert (not draft.json) == as_rows
    pairs = [
        ("name", draft.name),
        ("key", draft.key),
        ("kind", draft.kind),
        ("traffic", draft.traffic),
        ("join", draft.join),
        ("json", draft.json),
    ]
    pairs += [(f"weight-{number}", weight) for number, weight in draft.weights.items()]
    pairs += [
        (f"r{at}.{name}", getattr(row, name))
        for at, row in enumerate(draft.rows)
        for name in row.__struct_fields__
    ]
    sent = rule_form.read(Form(pairs))
    assert rule_form.condition_of(sent) == condition
    assert rule_form.traffic_of(sent) == 12.5
    assert rule_form.allocations_of(sent, FLAG, rule) == rule.allocations
