"""What a verb is about, or the refusal that says it is not there."""

from sqlalchemy import Connection

from service.domain.errors import Refused
from service.domain.model import Pipeline
from service.store import pipelines


def pipeline_or_refuse(conn: Connection, pipeline_id: str) -> Pipeline:
    """Return the pipeline of an id."""
    found = pipelines.get(conn, pipeline_id)
    if found is None:
        raise Refused("Couldn't find that pipeline.", code="not_found")
    return found
