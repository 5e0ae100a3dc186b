"""Whom the activity log means: the accounts of those it names, as long as they have one."""

from collections import Counter
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, func, or_, select

from service.shown import Account
from service.store.tables import users

People = Mapping[str, Account]
"""Accounts by what the activity log calls their owners."""


def known(conn: Connection, actors: Iterable[str]) -> People:
    """The accounts of these actors, in one statement at most; who has none is left out.

    Somebody on GitHub is the account that says so, if only one does.
    """
    named = {actor: actor.partition(":")[::2] for actor in actors}
    emails = {rest for kind, rest in named.values() if kind == "user"}
    logins = {rest.lower() for kind, rest in named.values() if kind == "github"}
    if not (emails or logins):
        return {}
    login = func.lower(users.c.github_login)
    query = select(users.c.id, users.c.email, login.label("login"))
    found = conn.execute(query.where(or_(users.c.email.in_(emails), login.in_(logins)))).all()
    by_email = {row.email: Account(id=row.id, email=row.email) for row in found}
    claims = Counter(row.login for row in found)
    by_login = {row.login: by_email[row.email] for row in found if claims[row.login] == 1}
    accounts: dict[str, Account | None] = {}
    for actor, (kind, rest) in named.items():
        accounts[actor] = by_email.get(rest) if kind == "user" else by_login.get(rest.lower())
    return {actor: account for actor, account in accounts.items() if account is not None}
