"""What takes a person's own right on GitHub: connecting a repository, deploying a commit of it, approving a fork's."""

from service.domain.access import check_on_github as check
from service.domain.errors import Refused
from service.domain.model import Repository, UserId
from service.store import users
from service.store.users import User
from service.web.keys import WebContext


async def check_on_github(context: WebContext, user: User, repository: Repository) -> UserId | None:
    """Refuse a user who may not write in the repository, as GitHub says now; returns whose right there it was.

    None for an administrator of the installation of whom nobody has said who they are there: they act as the
    installation itself, whose key and token are in their hands anyway.
    """
    if user.github_login is None:
        if user.is_admin:
            return None
        raise Refused(
            f"It is not known who {user.email} is on GitHub, and this takes write or admin in {repository.full_name}. "
            f"Ask an administrator: towpath users:update {user.email} --github LOGIN",
            code="forbidden",
        )
    there = await context.lookup.standing(repository, user.github_login)
    if user.github_id not in {None, there.github_id}:
        raise Refused(
            f"The login {user.github_login} belongs to somebody else on GitHub by now. Ask an administrator to say who "
            f"{user.email} is: towpath users:update {user.email} --github LOGIN",
            code="forbidden",
        )
    check(login=user.github_login, permission=there.permission, repository=repository.full_name)
    if user.github_id is None:
        now = context.db.now()
        await context.db.write(lambda conn: users.update(conn, user.id, now=now, github_id=there.github_id))
    return user.id
