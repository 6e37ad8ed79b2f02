"""Account properties from a server and from a browser, and where they are read."""

from tests.patience import eventually
from tests.whole.conftest import CAPTURE, Whole, number


def test_account_properties_are_kept_with_the_account_of_a_user(whole: Whole) -> None:
    who, account, device = f"ann-{number()}@acme.test", f"acme-{number()}", number()
    whole.api("PUT", "/account_property", json={"key": "company_id"})
    whole.send("/api/add_user_properties", identity=who, properties={"company_id": account})
    whole.send("/api/add_account_properties", account_id=account, properties={"plan": "pro", "seats": 5})
    whole.send(
        "/api/add_account_properties",
        accounts=[
            {"account_id": account, "properties": {"seats": 6}},
            {"account_id": "undefined", "properties": {}},
        ],
    )
    eventually(lambda: (whole.user(who) or {}).get("account"))
    known = eventually(
        lambda: (
            (found := whole.user(who)["account"])["properties"].get("seats", {}).get("value") == "6" and found
        )
    )
    assert known["id"] == account and known["properties"]["plan"]["value"] == "pro"

    # The browser names its user; the account is the user's, by merge.
    whole.identify(device, who)
    eventually(lambda: device in whole.user(who)["user_ids"])
    body = {"env_id": whole.app_id, "user_id": str(device), "properties": {"industry": "stones"}}
    assert whole.http.post(f"{CAPTURE}/add_account_properties", json=body).status_code == 200
    eventually(lambda: "industry" in whole.user(who)["account"]["properties"])

    read = whole.api("GET", f"/accounts/{account}")
    assert (read["users"], {key: each["value"] for key, each in read["properties"].items()}) == (
        1,
        {"plan": "pro", "seats": "6", "industry": "stones"},
    )
    assert account in [account["id"] for account in whole.api("GET", "/accounts")["accounts"]]
    told = [
        (event["outcome"], event["reason"])
        for event in whole.live()
        if event["name"] == "Set account properties"
        and (account in event["detail"] or "undefined" in event["detail"])
    ]
    assert sorted(told) == [("accepted", "account_changed")] * 3 + [("invalid", "junk_identity")]
    # Nothing of it is behaviour: neither account nor call is a user.
    assert all(event["kind"] != "account" for event in whole.events(who))
    assert whole.user(account) is None


def test_a_user_without_an_account_gets_none(whole: Whole) -> None:
    whole.api("PUT", "/account_property", json={"key": "company_id"})
    device = number()
    body = {"env_id": whole.app_id, "user_id": str(device), "properties": {"a": 1}}
    assert whole.http.post(f"{CAPTURE}/add_account_properties", json=body).status_code == 200
    reasons = eventually(lambda: [e["reason"] for e in whole.live() if e["user"] == str(device)])
    assert reasons == ["no_account"]


def test_without_an_account_id_property_nobody_has_an_account(whole: Whole) -> None:
    whole.api("PUT", "/account_property", json={"key": ""})
    device = number()
    body = {"env_id": whole.app_id, "user_id": str(device), "properties": {"a": 1}}
    assert whole.http.post(f"{CAPTURE}/add_account_properties", json=body).status_code == 200
    reasons = eventually(lambda: [e["reason"] for e in whole.live() if e["user"] == str(device)])
    assert reasons == ["no_account_key"]
    # What a server says of an account is kept all the same, and has users once the property is chosen.
    account, who = f"late-{number()}", f"bo-{number()}"
    whole.send("/api/add_account_properties", account_id=account, properties={"plan": "free"})
    whole.send("/api/add_user_properties", identity=who, properties={"team": account})
    eventually(lambda: whole.user(who))
    eventually(lambda: account in [account["id"] for account in whole.api("GET", "/accounts")["accounts"]])
    assert whole.user(who)["account"] is None
    whole.api("PUT", "/account_property", json={"key": "team"})
    assert whole.user(who)["account"]["properties"]["plan"]["value"] == "free"


def test_an_account_is_named_in_single_requests_or_they_are_refused(whole: Whole) -> None:
    whole.send("/api/add_account_properties", status=400, properties={"plan": "pro"})
    whole.send("/api/add_account_properties", status=400, account_id="null", properties={})
    whole.send("/api/add_account_properties", status=400, account_id="a", properties=[])
    whole.send("/api/add_account_properties", status=400, accounts=[])
    whole.send("/api/add_account_properties", status=400, accounts=[{"account_id": "a"}] * 1001)
