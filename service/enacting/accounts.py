"""What is done to accounts: users, and the tokens by which they are known."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from service.domain.access import TeamRole, TokenScope
from service.domain.errors import Refused
from service.domain.model import UserId
from service.enact import Committer, Transaction
from service.store import teams, tokens, users
from service.store.tokens import Token
from service.store.users import User, UserChange


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountVerbs(Committer):
    """Each verb is one transaction. `actor` is who asks, as `user:EMAIL`. A token's secret is returned and not kept."""

    async def create_user(
        self, *, email: str, name: str, is_admin: bool, github_login: str | None, actor: str
    ) -> tuple[User, str]:
        """Make a user with one token, which is returned; lets them into the teams that have invited them."""

        def create(tx: Transaction) -> tuple[User, str]:
            user, _, secret = make_user(tx, email=email, name=name, is_admin=is_admin, github_login=github_login)
            return user, secret

        return await self.commit(create, actor=actor)

    async def change_user(self, *, user_id: str, change: UserChange, actor: str) -> User:
        """Change a user; refuses to leave the installation without an administrator."""

        def update(tx: Transaction) -> User:
            if change.get("admin") is False and users.admins(tx.conn) == [user_id]:
                raise Refused("The installation needs an administrator: make somebody else one first.")
            wanted = change
            if "github_login" in change:
                # Who that is there is seen when it is first asked for.
                wanted = {**change, "github_id": None}
            user = users.update(tx.conn, user_id, now=tx.now, **wanted)
            tx.note("user changed", data={"email": user.email, **change})
            return user

        return await self.commit(update, actor=actor)

    async def remove_user(self, *, user_id: str, by: UserId, actor: str) -> tuple[User, list[str]]:
        """Take a user away; returns them and the names of what is nobody's, which is the administrators', from now on.

        Whoever removes the only admin of a team takes their place there: else nobody could ever manage it again.
        """

        def remove(tx: Transaction) -> tuple[User, list[str]]:
            user = users.get(tx.conn, user_id)
            if user is None:
                raise Refused("Couldn't find that account.", code="not_found")
            if user.id == by:
                raise Refused("Nobody removes their own account: another administrator does.")
            for team_id in teams.only_admin_of(tx.conn, user.id):
                teams.set_member(tx.conn, team_id=team_id, user_id=by, role=TeamRole.ADMIN, now=tx.now)
                tx.note("team member set", data={"team": team_id, "in the place of": user.email, "role": "admin"})
            left = users.delete(tx.conn, user.id, now=tx.now)
            tx.note("user removed", data={"email": user.email, "left": left})
            return user, left

        return await self.commit(remove, actor=actor)

    async def create_token(
        self, *, user_id: str, description: str, lasts: timedelta | None, scopes: Iterable[TokenScope], actor: str
    ) -> tuple[Token, str]:
        """Make a token."""

        def create(tx: Transaction) -> tuple[Token, str]:
            token, secret = tokens.create(
                tx.conn, user_id=user_id, description=description, lasts=lasts, scopes=scopes, now=tx.now
            )
            tx.note("token created", data=_about(token))
            return token, secret

        return await self.commit(create, actor=actor)

    async def rotate_token(self, *, token_id: str, actor: str) -> tuple[Token, str]:
        """Give a token another secret."""

        def rotate(tx: Transaction) -> tuple[Token, str]:
            _token(tx, token_id)
            token, secret = tokens.rotate(tx.conn, token_id, now=tx.now)
            tx.note("token rotated", data=_about(token))
            return token, secret

        return await self.commit(rotate, actor=actor)

    async def revoke_token(self, *, token_id: str, actor: str) -> Token:
        """Take a token away."""

        def revoke(tx: Transaction) -> Token:
            token = _token(tx, token_id)
            tokens.revoke(tx.conn, token_id)
            tx.note("token revoked", data=_about(token))
            return token

        return await self.commit(revoke, actor=actor)


def make_user(
    tx: Transaction, *, email: str, name: str = "", is_admin: bool = False, github_login: str | None = None
) -> tuple[User, Token, str]:
    """Make a user, in the teams that have invited them, with one token; returns that's secret, too."""
    user = users.create(tx.conn, email=email, name=name, is_admin=is_admin, now=tx.now)
    if github_login:
        user = users.update(tx.conn, user.id, now=tx.now, github_login=github_login)
    tx.note("user created", data={"email": user.email, "admin": is_admin, "github": github_login})
    for team_id in teams.accept_invitations(tx.conn, user_id=user.id, email=user.email, now=tx.now):
        tx.note("team member added", data={"team": team_id, "email": user.email})
    token, secret = tokens.create(tx.conn, user_id=user.id, description="First token", now=tx.now)
    return user, token, secret


def _token(tx: Transaction, token_id: str) -> Token:
    token = tokens.get(tx.conn, token_id)
    if token is None:
        raise Refused("Couldn't find that authorization.", code="not_found")
    return token


def _about(token: Token) -> dict[str, object]:
    """Which token, for the log: by its id, never by more than its beginning."""
    scopes = [each.value for each in token.scopes]
    return {"token": token.id, "prefix": token.prefix, "description": token.description, "scopes": scopes}
