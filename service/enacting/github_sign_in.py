"""What is done about signing in with GitHub: going there, being let in by it, and whose account there is whose here."""

from dataclasses import dataclass

from service.domain.errors import Refused
from service.enact import Committer, Transaction
from service.store import github_identities, sessions, users
from service.store.github_identities import Identity, Journey
from service.store.users import User, UserChange

TAKEN = "github_taken"
"""The code of a refusal that says: this account on GitHub is linked to another account here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubSignInVerbs(Committer):
    """Each verb is one transaction. A secret is returned, not kept. `github_id` and `login` are GitHub's own word."""

    async def depart_to_github(self, *, browser: str, journey: Journey) -> str:
        """Send a browser to GitHub; returns the `state` to come back with."""

        def depart(tx: Transaction) -> str:
            return github_identities.depart(tx.conn, browser=browser, journey=journey, now=tx.now)

        return await self.commit(depart)

    async def arrive_from_github(self, *, browser: str, state: str) -> Journey | None:
        """Take up what a browser went for, once; None for one that went with another `state`, or too long ago.

        Anybody may ask, as often as they like: only who is awaited takes a writer's turn.
        """
        now = self.db.now()
        if not await self.db.read(
            lambda conn: github_identities.is_awaited(conn, browser=browser, state=state, now=now)
        ):
            return None

        def arrive(tx: Transaction) -> Journey | None:
            return github_identities.arrive(tx.conn, browser=browser, state=state, now=tx.now)

        return await self.commit(arrive)

    async def sign_in_with_github(self, *, github_id: int, login: str, former: str) -> str | None:
        """Begin a session, in the place of the `former` one of this browser, if it has one.

        Returns the session's secret; None when the account on GitHub is linked to nobody here.
        """

        def begin(tx: Transaction) -> str | None:
            known = github_identities.by_number(tx.conn, github_id)
            user = users.get(tx.conn, known.user_id) if known is not None else None
            if known is None or user is None:
                return None
            if known.login != login:
                github_identities.renamed(tx.conn, github_id=github_id, login=login, now=tx.now)
            sessions.end(tx.conn, former)
            tx.actor = f"user:{user.email}"
            tx.note("signed in", data={"github": login})
            return sessions.begin(tx.conn, user_id=user.id, token_id=None, now=tx.now)

        return await self.commit(begin, actor="towpath")

    async def link_github(self, *, user_id: str, github_id: int, login: str, session_id: str, actor: str) -> None:
        """Let a user in by their account on GitHub; refuses (`TAKEN`) one that lets somebody else in.

        In the place of another one it ends what sessions they began elsewhere by that.
        Where nobody has said who they are on GitHub, it is known by this. An administrator of whom nobody has said so
        goes on acting there as the installation itself.
        """

        def link(tx: Transaction) -> None:
            user = users.get(tx.conn, user_id)
            if user is None:
                raise Refused("Couldn't find that account.", code="not_found")
            former = github_identities.of_user(tx.conn, user_id)
            if former is not None and former.github_id != github_id:
                _unlink(tx, former, session_id=session_id)
            link_to(tx, user, github_id=github_id, login=login)

        await self.commit(link, actor=actor)

    async def unlink_github(self, *, user_id: str, session_id: str, actor: str) -> None:
        """Let a user in by GitHub no longer, and end what sessions they began so elsewhere."""

        def unlink(tx: Transaction) -> None:
            known = github_identities.of_user(tx.conn, user_id)
            if known is None:
                return
            _unlink(tx, known, session_id=session_id)

        await self.commit(unlink, actor=actor)


def _unlink(tx: Transaction, known: Identity, *, session_id: str) -> None:
    """Let nobody in by it any more, nor by what was begun by it but for this session."""
    github_identities.unlink(tx.conn, user_id=known.user_id)
    sessions.end_others(tx.conn, user_id=known.user_id, but=session_id)
    tx.note("github account unlinked", data={"github": known.login, "github id": known.github_id})


def link_to(tx: Transaction, user: User, *, github_id: int, login: str) -> None:
    """Let a user in by an account on GitHub; refuses (`TAKEN`) one that lets somebody else in."""
    known = github_identities.by_number(tx.conn, github_id)
    if known is not None and known.user_id != user.id:
        raise Refused(f"{login} on GitHub is linked to another account here.", code=TAKEN)
    github_identities.link(tx.conn, user_id=user.id, github_id=github_id, login=login, now=tx.now)
    if change := _learned(user, github_id, login):
        users.update(tx.conn, user.id, now=tx.now, **change)
    tx.note("github account linked", data={"email": user.email, "github": login, "github id": github_id})


def _learned(user: User, github_id: int, login: str) -> UserChange:
    """What a link tells of who somebody is on GitHub where nobody has told otherwise."""
    if user.github_login is None:
        return {} if user.is_admin else UserChange(github_login=login, github_id=github_id)
    same = user.github_id is None and user.github_login.lower() == login.lower()
    return UserChange(github_id=github_id) if same else {}
