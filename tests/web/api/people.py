"""Two teams with everything a team can have, alike and strangers to each other, and people of every kind."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from service.store.tables import metadata
from tests.web.serving import Server

ROLES = {"admin": "admin", "member": "member", "viewer": "viewer", "guest": "collaborator"}
"""The people of a team by their role in it."""
GRANTED = ("view", "deploy", "operate", "manage", "promote")
"""People outside of it who were granted this one permission on its apps."""


@dataclass(kw_only=True)
class World:
    """The tokens of the people, and what there is of either team, by its name in a path."""

    server: Server
    tokens: dict[str, str]
    ours: dict[str, str]
    theirs: dict[str, str]

    async def ask(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """What somebody is answered: (status, body)."""
        token = self.tokens.get(who, who)
        said, response = await self.server.call(method, path, body, Authorization=f"Bearer {token}" if token else "")
        return response.status, said

    async def must(self, who: str, method: str, path: str, body: Any = None, *, status: int = 201) -> Any:
        """The same where only one status is right."""
        answered, said = await self.ask(who, method, path, body)
        assert answered == status, f"{method} {path}: {answered} {said}"
        return said


async def user(world: World, name: str, **body: Any) -> str:
    """Make a user with a token; returns the id."""
    made = await world.must("operator", "POST", "/users", {"email": f"{name}@example.com", "github": "octavia", **body})
    world.tokens[name] = made["access_token"]["token"]
    return str(made["id"])


async def furnish(world: World, admin: str, team: str, branch: str) -> dict[str, str]:
    """Give a team one of each thing, built from a branch; returns what they are called in paths."""
    server, staging, production = world.server, f"{team}-staging", f"{team}-live"

    async def post(path: str, body: Any, status: int = 201) -> Any:
        return await world.must(admin, "POST", path, body, status=status)

    await post("/teams", {"name": team})
    owner = {"id": team, "type": "team"}
    pipeline = await post("/pipelines", {"name": f"{team}-pipe", "owner": owner})
    home = f"/pipelines/{pipeline['id']}"
    await post(f"{home}/repository", {"repository": "acme/shop"})
    await post(f"{home}/review-app-config", {})
    for app, stage in ((staging, "staging"), (production, "production")):
        await post("/apps", {"name": app, "team": team})
        await post("/pipeline-couplings", {"app": app, "pipeline": pipeline["id"], "stage": stage})
    webhook = {"include": ["api:app"], "level": "sync", "url": "http://localhost:9/"}
    hook = await post(f"/apps/{staging}/webhooks", webhook)
    pipeline_hook = await post(f"{home}/webhooks", webhook | {"include": ["api:promotion"]})
    await world.must(admin, "PATCH", f"/apps/{staging}", {"maintenance": True}, status=200)
    build = await post(f"/apps/{staging}/builds", {"source_blob": {"version": branch}})
    await server.work(release_phase=True)
    promotion = await post("/pipeline-promotions", {"pipeline": pipeline["id"], "source": {"app": staging}})
    await server.work()
    review = await post("/review-apps", {"pipeline": pipeline["id"], "pr_number": 7})
    spare = await post("/apps", {"name": f"{team}-spare", "team": team})
    lock = await post(f"/apps/{spare['name']}/deploy-locks", {"reason": "for the audit"})
    release = await world.must(admin, "GET", f"/apps/{staging}/releases/1", status=200)
    (told,) = await world.must(admin, "GET", f"/apps/{staging}/webhook-deliveries", status=200)
    told_of_pipeline = await world.must(admin, "GET", f"{home}/webhook-deliveries", status=200)
    coupling = await world.must(admin, "GET", f"/apps/{staging}/pipeline-couplings", status=200)
    invitation = await world.must(
        admin, "PUT", f"/teams/{team}/invitations", {"email": f"new-{team}@example.com", "role": "member"}
    )
    return {
        "app": staging,
        "production": production,
        "spare": spare["name"],
        "lock": lock["id"],
        "pipeline": pipeline["id"],
        "coupling": coupling["id"],
        "build": build["id"],
        "request": build["id"],
        "setup": build["id"],
        "domain": f"{staging}.localhost",
        "release": release["id"],
        "slug": release["slug"]["id"],
        "promotion": promotion["id"],
        "review": review["id"],
        "webhook": hook["id"],
        "event": told["event"]["id"],
        "delivery": told["id"],
        "pipeline_webhook": pipeline_hook["id"],
        "pipeline_event": told_of_pipeline[0]["event"]["id"],
        "pipeline_delivery": told_of_pipeline[0]["id"],
        "team": team,
        "invitation": invitation["id"],
    }


async def populate(server: Server) -> World:
    """Make everybody and everything."""
    world = World(server=server, tokens={"operator": server.token, "nobody": ""}, ours={}, theirs={})
    rival = await user(world, "rival")
    world.theirs = await furnish(world, "rival", "rivals", "master")
    for name in (*ROLES, *GRANTED):
        await user(world, name)
    world.ours = await furnish(world, "admin", "crew", "main")
    for name, role in ROLES.items():
        body = {"email": f"{name}@example.com", "role": role}
        member = await world.must("admin", "PUT", "/teams/crew/members", body, status=200)
        world.ours |= {f"member {name}": member["id"], f"user {name}": member["user"]["id"]}
    for name in GRANTED:
        for app in (world.ours["spare"], world.ours["production"], world.ours["app"]):
            body = {"user": f"{name}@example.com", "permissions": [name]}
            granted = await world.must("admin", "POST", f"/apps/{app}/collaborators", body)
        world.ours[f"collaborator {name}"] = granted["id"]
    offer = await world.must(
        "admin", "POST", "/account/app-transfers", {"app": world.ours["app"], "recipient": "member@example.com"}
    )
    world.ours |= {"transfer": offer["id"], "member": world.ours["member guest"], "user": world.ours["user viewer"]}
    world.ours["collaborator"] = world.ours["collaborator view"]
    body = {"email": "mate@example.com", "role": "member"}
    await user(world, "mate")
    mate = await world.must("rival", "PUT", "/teams/rivals/members", body, status=200)
    world.theirs |= {"member": mate["id"], "user": rival}
    await foreign(world)
    return world


async def foreign(world: World) -> None:
    """What the rivals have beside."""
    theirs = world.theirs
    body = {"user": "mate@example.com", "permissions": ["view"]}
    granted = await world.must("rival", "POST", f"/apps/{theirs['app']}/collaborators", body)
    offer = await world.must(
        "rival", "POST", "/account/app-transfers", {"app": theirs["app"], "recipient": "mate@example.com"}
    )
    token = await world.must("rival", "POST", "/oauth/authorizations", {"description": "theirs"})
    theirs |= {"collaborator": granted["id"], "transfer": offer["id"], "authorization": token["id"]}


Rows = dict[str, list[dict[str, Any]]]


def saved(conn: Connection) -> Rows:
    """Every row there is."""
    return {
        table.name: [dict(row) for row in conn.execute(table.select()).mappings()] for table in metadata.sorted_tables
    }


def restore(conn: Connection, rows: Rows) -> None:
    """Have exactly these rows again."""
    for table in reversed(metadata.sorted_tables):
        conn.execute(table.delete())
    for table in metadata.sorted_tables:
        if rows[table.name]:
            conn.execute(table.insert(), rows[table.name])
