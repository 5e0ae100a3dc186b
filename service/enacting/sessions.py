"""What is done about being signed in to the dashboard."""

from dataclasses import dataclass
from datetime import datetime

from service.enact import Committer, Transaction
from service.store import sessions, users


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionVerbs(Committer):
    """Each verb is one transaction. A secret is returned and not kept."""

    async def make_sign_in_link(self, *, user_id: str, token_id: str, actor: str) -> tuple[str, datetime]:
        """Make a link that signs a browser in as the user, once; returns its secret and when it expires."""

        def make(tx: Transaction) -> tuple[str, datetime]:
            tx.note("sign-in link made")
            return sessions.make_link(tx.conn, user_id=user_id, token_id=token_id, now=tx.now)

        return await self.commit(make, actor=actor)

    async def sign_in(self, *, link: str, former: str) -> str | None:
        """Use a link up and begin a session, in the place of the `former` one of this browser, if it has one.

        Returns the session's secret; None when the link opens nothing, or nothing any more.
        """

        def begin(tx: Transaction) -> str | None:
            found = sessions.link(tx.conn, link)
            user = users.get(tx.conn, found.user_id) if found is not None else None
            if found is None or user is None or not sessions.opens(tx.conn, found, tx.now):
                return None
            if not sessions.use(tx.conn, found, now=tx.now):
                return None
            sessions.end(tx.conn, former)
            tx.actor = f"user:{user.email}"
            tx.note("signed in")
            return sessions.begin(tx.conn, user_id=user.id, token_id=found.token_id, now=tx.now)

        return await self.commit(begin, actor="towpath")

    async def sign_out(self, *, session: str, actor: str) -> None:
        """End a session."""

        def end(tx: Transaction) -> None:
            sessions.end(tx.conn, session)
            tx.note("signed out")

        await self.commit(end, actor=actor)
