"""What is done to teams: make, name, end, who is in them, who is invited."""

from dataclasses import dataclass

from service.domain.access import TeamRole, check_last_admin
from service.domain.errors import Refused
from service.enact import Committer, Transaction
from service.store import grants, teams, users
from service.store.teams import Invitation, Member, Team


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamVerbs(Committer):
    """Each verb is one transaction. `actor` is who asks, as `user:EMAIL`."""

    async def create_team(self, *, name: str, user_id: str, actor: str) -> Team:
        """Make a team with its maker as admin."""

        def create(tx: Transaction) -> Team:
            team = teams.create(tx.conn, name=name, now=tx.now)
            teams.set_member(tx.conn, team_id=team.id, user_id=user_id, role=TeamRole.ADMIN, now=tx.now)
            tx.note("team created", data={"team": team.id, "name": name})
            return team

        return await self.commit(create, actor=actor)

    async def rename_team(self, *, team: Team, name: str, actor: str) -> Team:
        """Give a team another name."""

        def rename(tx: Transaction) -> Team:
            renamed = teams.rename(tx.conn, team, name=name, now=tx.now)
            tx.note("team renamed", data={"team": team.id, "from": team.name, "to": name})
            return renamed

        return await self.commit(rename, actor=actor)

    async def delete_team(self, *, team: Team, actor: str) -> None:
        """End a team that owns nothing."""

        def delete(tx: Transaction) -> None:
            teams.delete(tx.conn, team)
            tx.note("team deleted", data={"team": team.id, "name": team.name})

        await self.commit(delete, actor=actor)

    async def set_member(self, *, team: Team, email: str, role: TeamRole, actor: str) -> Member:
        """Have a user in the team as this; refused when it would have no admin any more."""

        def change(tx: Transaction) -> Member:
            user = users.find(tx.conn, email)
            if user is None:
                raise Refused(
                    f"email: there is no user {email} here. Invite them, or ask an administrator: "
                    f"towpath users:create {email}"
                )
            _check_last_admin(tx, team, user.id, role)
            teams.set_member(tx.conn, team_id=team.id, user_id=user.id, role=role, now=tx.now)
            tx.note("team member set", data={"team": team.id, "email": user.email, "role": role.value})
            member = teams.member(tx.conn, team.id, user.id)
            assert member is not None
            return member

        return await self.commit(change, actor=actor)

    async def remove_member(self, *, team: Team, member: Member, actor: str) -> None:
        """Have a user in the team no longer, nor let them do anything to its apps."""

        def remove(tx: Transaction) -> None:
            _check_last_admin(tx, team, member.user_id, None)
            teams.remove_member(tx.conn, team_id=team.id, user_id=member.user_id)
            grants.remove_of_team(tx.conn, team_id=team.id, user_id=member.user_id)
            tx.note("team member removed", data={"team": team.id, "email": member.email})

        await self.commit(remove, actor=actor)

    async def invite(self, *, team: Team, email: str, role: TeamRole, user_id: str, actor: str) -> Invitation:
        """Have somebody in the team as soon as they have an account."""

        def invite(tx: Transaction) -> Invitation:
            if users.find(tx.conn, email) is not None:
                raise Refused(f"email: {email} has an account: add them, towpath members:add {email} -t {team.name}")
            made = teams.invite(tx.conn, team_id=team.id, email=email, role=role, invited_by=user_id, now=tx.now)
            tx.note("team invitation made", data={"team": team.id, "email": made.email, "role": role.value})
            return made

        return await self.commit(invite, actor=actor)

    async def revoke_invitation(self, *, team: Team, invitation: str, actor: str) -> Invitation:
        """Take an invitation back."""

        def revoke(tx: Transaction) -> Invitation:
            revoked = teams.revoke_invitation(tx.conn, team_id=team.id, id_or_email=invitation)
            if revoked is None:
                raise Refused("Couldn't find that invitation.", code="not_found")
            tx.note("team invitation revoked", data={"team": team.id, "email": revoked.email})
            return revoked

        return await self.commit(revoke, actor=actor)


def _check_last_admin(tx: Transaction, team: Team, user_id: str, after: TeamRole | None) -> None:
    roles = {each.user_id: each.role for each in teams.members(tx.conn, team.id)}
    check_last_admin(roles, user_id, after)
