"""The sites that members label on. Links to the labeller are opened in the pages only, by who is signed in there."""

from msgspec import Struct

from cairn.api.endpoint import Endpoint, Id
from cairn.api.resources.users import EnvironmentQuery
from cairn.app import labelling
from cairn.app.call import Call
from cairn.workspace.label_site import LabelSite
from cairn.workspace.permission import Verb


class LabelSiteList(Struct, frozen=True):
    environment: str
    sites: list[LabelSite]


class NewLabelSite(Struct, frozen=True, forbid_unknown_fields=True):
    address: str  # of the site or one of its pages; scheme, host and port count


def read_label_sites(call: Call, query: EnvironmentQuery) -> LabelSiteList:
    """List the sites that members label on, at most 50."""
    here = call.environment(query.environment)
    return LabelSiteList(here.name, labelling.list_sites(call, here))


def add_label_site(call: Call, query: EnvironmentQuery, body: NewLabelSite) -> LabelSite:
    """Name a site to label on. Naming it again changes nothing."""
    return labelling.name_site(call, call.environment(query.environment), body.address)


def remove_label_site(call: Call, site_id: Id, query: EnvironmentQuery) -> None:
    """Take a site away. Labellers that are open on it stay so until their half hour ends."""
    labelling.remove_site(call, call.environment(query.environment), site_id)


ENDPOINTS = (
    Endpoint("GET", "/label-sites", Verb.SEE, read_label_sites),
    Endpoint(
        "POST",
        "/label-sites",
        Verb.DEFINE,
        add_label_site,
        example={"address": "https://shop.example"},
        status=201,
    ),
    Endpoint("DELETE", "/label-sites/{site_id}", Verb.DEFINE, remove_label_site),
)
