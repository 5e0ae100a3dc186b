"""What branches require, as rulesets and classic protection tell it, and what is said where they may not be read."""

from dataclasses import replace

import pytest

from service.domain.errors import Transient
from service.domain.facts import FactKey, FactKind, Required, RequiredChecks
from service.github.client import GitHub
from service.github.looks import Looks
from service.store import fact_values


@pytest.fixture
def grant(edge):
    """The permission that reading classic protection takes, which few give."""

    def give() -> None:
        for one in edge.sim.installations.values():
            one.permissions["administration"] = "read"

    return give


def required(shop, branch="master"):
    return FactKey(FactKind.REQUIRED, shop.id, branch)


NOT_GRANTED = "the protection of {} is not shown (it takes the permission administration: read)"


async def test_what_protection_and_rulesets_require_is_one_list(edge, shop, grant):
    grant()
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


async def test_a_branch_of_which_nothing_is_required_requires_nothing(edge, shop, grant):
    grant()
    value = (await edge.looks.look(required(shop, "a/b#c"), shop)).value
    assert value == RequiredChecks(branch="a/b#c", contexts=())


async def test_without_the_permission_the_rulesets_count_and_it_is_said_what_is_missing(edge, shop):
    edge.sim.protect("acme/shop", "master", ["test"])
    edge.sim.protect("acme/shop", "master", ["lint"], rules=True)
    value = (await edge.looks.look(required(shop), shop)).value
    assert value == RequiredChecks(
        branch="master", contexts=(Required(context="lint"),), unread=NOT_GRANTED.format("master")
    )


async def test_what_a_token_of_a_person_may_not_read_is_said_in_github_s_words(edge, shop):
    edge.sim.add_collaborator("acme/shop", "ann", "write")
    looks = Looks(github=edge.as_person("ann"), now=edge.looks._now)
    value = (await looks.look(required(shop), replace(shop, installation_id=0))).value
    assert value.contexts == ()
    assert value.unread.startswith("the protection of master is not shown (")


async def test_rules_that_a_plan_does_not_include_are_told_as_unread(edge, shop, grant):
    grant()
    edge.sim.protect("acme/shop", "master", ["test"])
    edge.sim.chaos.answer("error", pattern="/rules/branches/", status=403)
    value = (await edge.looks.look(required(shop), shop)).value
    assert value.contexts == (Required(context="test"),)
    assert value.unread.startswith("the rules of master are not shown (")


async def test_workflows_that_a_ruleset_requires_cannot_be_told_by_name(edge, shop, grant, monkeypatch):
    grant()
    listing = GitHub.listing

    async def with_workflows(self, repository, path, *, shape, **options):
        found = await listing(self, repository, path, shape=shape, **options)
        found.items.append(shape(type="workflows", parameters={"workflows": [{"path": ".github/ci.yml"}]}))
        return found

    monkeypatch.setattr(GitHub, "listing", with_workflows)
    value = (await edge.looks.look(required(shop), shop)).value
    assert value.unread == "master requires workflows, whose checks have no fixed names"


async def test_what_is_required_is_not_sent_again_unless_one_of_both_changed(edge, shop, grant):
    grant()
    edge.sim.protect("acme/shop", "master", ["test"])
    edge.sim.protect("acme/shop", "master", ["lint"], rules=True)
    first = await edge.looks.look(required(shop), shop)
    again = await edge.looks.look(required(shop), shop, etag=first.etag)
    assert (again.not_modified, again.etag) == (True, first.etag)
    edge.sim.protect("acme/shop", "master", ["test", "e2e"])
    changed = await edge.looks.look(required(shop), shop, etag=first.etag)
    assert [each.context for each in changed.value.contexts] == ["lint", "test", "e2e"]


@pytest.mark.parametrize("kind", ["error", "html"])
@pytest.mark.parametrize("which", ["/rules/branches/", "/protection/required_status_checks"])
async def test_no_answer_about_what_is_required_is_no_value(edge, shop, grant, which, kind):
    grant()
    edge.sim.chaos.answer(kind, pattern=which)
    with pytest.raises(Transient):
        await edge.looks.look(required(shop), shop)
