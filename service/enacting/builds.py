"""What people say about builds: which config vars they see."""

from collections.abc import Iterable
from dataclasses import dataclass

from service.domain import build_config
from service.domain.errors import Refused
from service.enact import Committer, Transaction, app_or_refuse
from service.enacting.finding import pipeline_or_refuse
from service.store import build_configs, pipelines


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def set_app_build_config(self, *, app_id: str, names: Iterable[str], actor: str) -> tuple[str, ...]:
        """Name the config vars that builds of an app see; refused in a pipeline, where all apps build alike."""

        def change(tx: Transaction) -> tuple[str, ...]:
            app = app_or_refuse(tx.conn, app_id)
            coupling = pipelines.coupling_of(tx.conn, app_id)
            if coupling is not None:
                pipeline = pipeline_or_refuse(tx.conn, coupling.pipeline_id)
                raise Refused(
                    f"App {app.name} is in the pipeline {pipeline.name}: builds of all its apps see the same config "
                    f"vars. Name them with: towpath config:build NAME ... -p {pipeline.name}"
                )
            wanted = build_config.check(names)
            build_configs.set_of_app(tx.conn, app_id, wanted, tx.now)
            tx.note("build config changed", app_id=app_id, data={"names": list(wanted)})
            return wanted

        return await self.commit(change, actor=actor)

    async def set_pipeline_build_config(self, *, pipeline_id: str, names: Iterable[str], actor: str) -> tuple[str, ...]:
        """Name the config vars that builds of a pipeline's apps see."""

        def change(tx: Transaction) -> tuple[str, ...]:
            pipeline_or_refuse(tx.conn, pipeline_id)
            wanted = build_config.check(names)
            build_configs.set_of_pipeline(tx.conn, pipeline_id, wanted, tx.now)
            tx.note("build config changed", pipeline_id=pipeline_id, data={"names": list(wanted)})
            return wanted

        return await self.commit(change, actor=actor)
