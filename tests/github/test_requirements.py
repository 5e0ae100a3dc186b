"""What branches require, as rulesets and classic protection tell it, and what is said where they may not be read."""

from dataclasses import replace

import pytest

from service.domain.errors import Transient
from service.domain.facts import FactKey, FactKind, Required, RequiredChecks
from service.github.client import GitHub
from service.github.looks import Looks
from service.github.manifest import PERMISSIONS
from service.github.requirements import _of_protection
from service.github.transport import Reply
from service.store import fact_values

ITSELF = r"/repositories/\d+/branches/master"


def required(shop, branch="master"):
    return FactKey(FactKind.REQUIRED, shop.id, branch)


async def test_what_protection_and_rulesets_require_is_one_list_and_takes_no_more_than_every_app_is_asked_for(
    edge, shop
):
    for one in edge.sim.installations.values():
        assert one.permissions == {each.name: each.level for each in PERMISSIONS}
    app_id = edge.sim.other_app("ci").id
    edge.sim.protect("acme/shop", "master", ["test", "lint"], app="ci")
    edge.sim.protect("acme/shop", "master", ["lint"], rules=True)
    value = (await edge.looks.look(required(shop), shop)).value
    contexts = (
        Required(context="lint"),
        Required(context="test", app_id=app_id),
        Required(context="lint", app_id=app_id),
    )
    assert value == RequiredChecks(branch="master", contexts=contexts)
    assert fact_values.decode(FactKind.REQUIRED, fact_values.encode(value)) == value


async def test_a_branch_of_which_nothing_is_required_requires_nothing(edge, shop):
    for branch in ("master", "a/b#c"):
        value = (await edge.looks.look(required(shop, branch), shop)).value
        assert value == RequiredChecks(branch=branch, contexts=())


async def test_rulesets_alone_are_no_protection_that_is_kept_from_us(edge, shop):
    edge.sim.protect("acme/shop", "master", ["lint"], rules=True)
    value = (await edge.looks.look(required(shop), shop)).value
    assert value == RequiredChecks(branch="master", contexts=(Required(context="lint"),))


async def test_where_the_branch_is_not_shown_the_rulesets_count_and_it_is_said_what_is_missing(edge, shop):
    edge.sim.protect("acme/shop", "master", ["test"])
    edge.sim.protect("acme/shop", "master", ["lint"], rules=True)
    edge.sim.chaos.answer("error", pattern=ITSELF, status=403)
    value = (await edge.looks.look(required(shop), shop)).value
    assert value.contexts == (Required(context="lint"),)
    assert value.unread.startswith("the protection of master is not shown (")


async def test_a_person_who_may_only_read_is_shown_what_is_required(edge, shop):
    edge.sim.protect("acme/shop", "master", ["test"])
    edge.sim.add_collaborator("acme/shop", "ann", "read")
    looks = Looks(github=edge.as_person("ann"), now=edge.looks._now)
    value = (await looks.look(required(shop), replace(shop, installation_id=0))).value
    assert value == RequiredChecks(branch="master", contexts=(Required(context="test"),))


async def test_rules_that_a_plan_does_not_include_are_told_as_unread(edge, shop):
    edge.sim.protect("acme/shop", "master", ["test"])
    edge.sim.chaos.answer("error", pattern="/rules/branches/", status=403)
    value = (await edge.looks.look(required(shop), shop)).value
    assert value.contexts == (Required(context="test"),)
    assert value.unread.startswith("the rules of master are not shown (")


async def test_workflows_that_a_ruleset_requires_cannot_be_told_by_name(edge, shop, monkeypatch):
    listing = GitHub.listing

    async def with_workflows(self, repository, path, *, shape, **options):
        found = await listing(self, repository, path, shape=shape, **options)
        found.items.append(shape(type="workflows", parameters={"workflows": [{"path": ".github/ci.yml"}]}))
        return found

    monkeypatch.setattr(GitHub, "listing", with_workflows)
    value = (await edge.looks.look(required(shop), shop)).value
    assert value.unread == "master requires workflows, whose checks have no fixed names"


async def test_what_is_required_is_not_sent_again_unless_one_of_both_changed(edge, shop):
    edge.sim.protect("acme/shop", "master", ["test"])
    edge.sim.protect("acme/shop", "master", ["lint"], rules=True)
    first = await edge.looks.look(required(shop), shop)
    again = await edge.looks.look(required(shop), shop, etag=first.etag)
    assert (again.not_modified, again.etag) == (True, first.etag)
    edge.sim.protect("acme/shop", "master", ["test", "e2e"])
    changed = await edge.looks.look(required(shop), shop, etag=first.etag)
    assert [each.context for each in changed.value.contexts] == ["lint", "test", "e2e"]


@pytest.mark.parametrize("kind", ["error", "html"])
@pytest.mark.parametrize("which", ["/rules/branches/", ITSELF])
async def test_no_answer_about_what_is_required_is_no_value(edge, shop, which, kind):
    edge.sim.chaos.answer(kind, pattern=which)
    with pytest.raises(Transient):
        await edge.looks.look(required(shop), shop)


def shown(*, protected=True, name="main", **checks):
    protection = {"enabled": True, "required_status_checks": {"enforcement_level": "everyone", **checks}}
    return {"name": name, "protected": protected, "protection": protection}


ANY, OF_CI = Required(context="a"), Required(context="a", app_id=7)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        pytest.param(shown(contexts=["a"], checks=[{"context": "a", "app_id": 7}]), ([OF_CI], ""), id="of one App"),
        pytest.param(shown(contexts=["a"], checks=[{"context": "a", "app_id": None}]), ([ANY], ""), id="of anybody"),
        pytest.param(shown(contexts=["a"], checks=[{"context": "a", "app_id": -1}]), ([ANY], ""), id="-1 is anybody"),
        pytest.param(shown(contexts=["a"]), ([ANY], ""), id="an older server has one list"),
        pytest.param(
            shown(contexts=["b", "a"], checks=[{"context": "a", "app_id": 7}]),
            ([OF_CI, Required(context="b")], ""),
            id="a context of the older list alone may come from anybody",
        ),
        pytest.param(
            shown(contexts=["a"], checks=[{"context": "a", "app_id": 7}], enforcement_level="off"),
            ([], ""),
            id="required checks that are switched off require nothing",
        ),
        pytest.param(shown(contexts=["a"], protected=False), ([], ""), id="what is not protected requires nothing"),
        pytest.param(
            {"name": "main", "protected": True, "protection": {"enabled": True}}, ([], ""), id="reviews alone"
        ),
        pytest.param(
            {"name": "main", "protected": True}, ([], "GitHub says only that there is one"), id="nothing is told of it"
        ),
        pytest.param(
            shown(contexts=["a"], name="trunk"), ([], "GitHub answered for trunk"), id="the branch has another name now"
        ),
    ],
)
def test_the_description_of_a_branch_names_what_its_protection_requires(body, wanted):
    assert _of_protection("main", Reply(status=200, data=body)) == wanted
