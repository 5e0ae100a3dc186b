"""Invitations by a link: whoever opens it makes their account by themselves, and is in the team."""

from dataclasses import dataclass, field
from datetime import datetime

from service.domain.access import TeamRole
from service.domain.errors import Refused
from service.enact import Committer, Transaction
from service.enacting.accounts import make_user
from service.enacting.github_sign_in import link_to
from service.github.sign_in import Account
from service.store import sessions, teams, users
from service.store.teams import Invitation, Team
from service.store.users import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link that was just made: its secret cannot be read again."""

    invitation: Invitation
    secret: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Somebody who has just come in: their account, the session of their browser, and their first token."""

    user: User
    session: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationVerbs(Committer):
    """Each verb is one transaction. A secret is returned and not kept."""

    async def invite_by_link(self, *, team: Team, email: str, role: TeamRole, by: User) -> Link:
        """Invite an address by a link, in the place of a former one: who has it makes the account.

        That takes an administrator, as it does to make an account in any other way; refuses whoever has one.
        """

        def invite(tx: Transaction) -> Link:
            if not by.is_admin:
                raise Refused("It takes an administrator of this installation to have accounts made.", code="forbidden")
            if users.find(tx.conn, email) is not None:
                raise Refused(f"email: {email} has an account already: add them to the team instead.")
            made = teams.invite(tx.conn, team_id=team.id, email=email, role=role, invited_by=by.id, now=tx.now)
            secret, expires = teams.make_link(tx.conn, made, by=by.id, now=tx.now)
            data = {"team": team.id, "email": made.email, "role": role.value, "expires": expires.isoformat()}
            tx.note("team invitation made", data=data)
            return Link(invitation=made, secret=secret, expires_at=expires)

        return await self.commit(invite, actor=f"user:{by.email}")

    async def accept_invitation(self, *, invitation_id: str, github: Account | None, former: str) -> Joined | None:
        """Make the account of whoever was invited, and begin a session in the place of the browser's `former` one.

        With `github` they sign in by that from now on; refuses (`TAKEN`) what lets somebody else in. None when the link
        is not good any more.
        """

        def accept(tx: Transaction) -> Joined | None:
            found = teams.take_invitation(tx.conn, invitation_id, tx.now)
            inviter = users.get(tx.conn, found.invited_by) if found is not None else None
            if found is None or inviter is None or not inviter.is_admin:
                return None
            tx.actor = f"user:{found.email}"
            tx.note("team invitation accepted", data={"team": found.team_id, "email": found.email})
            user, token, secret = make_user(tx, email=found.email)
            if github is not None:
                link_to(tx, user, github_id=github.id, login=github.login)
            sessions.end(tx.conn, former)
            tx.note("signed in", data={} if github is None else {"github": github.login})
            by_token = None if github is not None else token.id
            session = sessions.begin(tx.conn, user_id=user.id, token_id=by_token, now=tx.now)
            return Joined(user=user, session=session, token=secret)

        return await self.commit(accept, actor="towpath")
