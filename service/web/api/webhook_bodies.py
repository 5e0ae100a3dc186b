"""What the API accepts about outbound webhooks, checked by pydantic."""

from typing import Annotated

from pydantic import Field, StringConstraints

from service.domain.webhooks import Level
from service.web.api.bodies import Body, Words

Address = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,2048}$")]
Secret = Annotated[str, StringConstraints(pattern=r"^[^\x00]{1,256}$")]
Authorization = Annotated[str, StringConstraints(pattern=r"^([!-~][ -~]{0,1022})?$")]
Includes = Annotated[list[Words], Field(min_length=1, max_length=50)]


class AddWebhook(Body):
    """POST /apps/APP/webhooks and /pipelines/PIPELINE/webhooks."""

    include: Includes
    level: Level
    url: Address
    secret: Secret | None = None
    authorization: Authorization | None = None


class ChangeWebhook(Body):
    """PATCH of a webhook: what is left out stays, and one that was stopped starts again."""

    include: Includes | None = None
    level: Level | None = None
    url: Address | None = None
    secret: Secret | None = None
    authorization: Authorization | None = None
