"""What people run beside an app, and stop."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from service.domain.errors import Refused
from service.domain.model import App, Release
from service.domain.one_offs import MOST, OneOff, Order, free_numbers
from service.enact import Committer, Transaction, app_or_refuse, check_config
from service.queue import one_off as ring_for
from service.store import apps, one_offs, releases
from service.store.redaction import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOffVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def run_one_off(
        self,
        *,
        app_id: str,
        command: str,
        process_type: str,
        env: Mapping[str, str],
        attached: bool,
        tty: bool,
        seconds: int,
        actor: str,
    ) -> OneOff:
        """Run a command beside the app, with its code and config and `env` besides, for so many seconds at most."""

        def run(tx: Transaction) -> OneOff:
            app = app_or_refuse(tx.conn, app_id)
            check_config(env)
            release = _release_of(tx, app)
            if len(one_offs.open_of(tx.conn, app_id)) >= MOST:
                raise Refused(
                    f"{app.name} runs {MOST} one-off dynos already: wait for one of them to end, or stop it "
                    f"(towpath ps:stop DYNO -a {app.name})."
                )
            free = free_numbers(one_offs.names(tx.conn, app_id), process_type)
            if not free:
                raise Refused(f"All names of one-off dynos of {app.name} are given: run less for a while.")
            secret = [*releases.config(tx.conn, tx.vault, release.id).values(), *env.values()]
            secret += apps.config(tx.conn, tx.vault, app_id).values()
            made = one_offs.create(
                tx.conn,
                tx.vault,
                app_id=app_id,
                release=release,
                name=f"{process_type}.{secrets.choice(free)}",
                shown=Redactor(secret).redact(command),
                order=Order(command=command, env=env),
                attached=attached,
                tty=tty,
                actor=tx.actor,
                ends_at=tx.now + timedelta(seconds=seconds),
                now=tx.now,
            )
            data = {"dyno": made.name, "command": made.command, "attached": attached}
            tx.note("one-off dyno run", app_id=app_id, data=data)
            tx.rings.append(ring_for(made.id))
            return made

        return await self.commit(run, actor=actor)

    async def stop_one_off(self, *, app_id: str, one_off_id: str, actor: str) -> None:
        """End it: SIGTERM, and SIGKILL if that does not do. One that has ended already is none any more."""

        def stop(tx: Transaction) -> None:
            found = one_offs.find(tx.conn, app_id, one_off_id)
            if found is None or not found.is_open:
                raise Refused("Couldn't find that dyno.", code="not_found")
            one_offs.ask_to_stop(tx.conn, found, reason=f"stopped by {tx.actor}", now=tx.now)
            tx.note("one-off dyno stopped", app_id=app_id, data={"dyno": found.name})
            tx.rings.append(ring_for(found.id))

        await self.commit(stop, actor=actor)


def _release_of(tx: Transaction, app: App) -> Release:
    found = releases.get(tx.conn, app.current_release_id) if app.current_release_id else None
    if found is None or found.slug_id is None:
        raise Refused(f"{app.name} has no release yet, so there is no code to run: deploy something first.")
    return found
