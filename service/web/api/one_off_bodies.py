"""What is sent to run a one-off dyno, as Heroku's clients write it."""

from typing import Annotated, Any

from pydantic import Field, StrictBool, StrictInt, StringConstraints

from service.domain.one_offs import LONGEST
from service.web.api.bodies import Body, ConfigName, ConfigValue

Command = Annotated[str, StringConstraints(pattern=r"^[^\x00]*[^\x00\s][^\x00]*$", max_length=16_384)]
Type = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]


class RunDyno(Body):
    """POST /apps/APP/dynos."""

    command: Command
    attach: StrictBool | None = None
    env: dict[ConfigName, ConfigValue | StrictInt | None] | None = Field(default=None, max_length=200)
    force_no_tty: StrictBool | None = None
    size: Any = None
    type: Type | None = None
    time_to_live: Annotated[StrictInt, Field(ge=10, le=LONGEST)] | None = None

    @property
    def variables(self) -> dict[str, str]:
        """The variables as processes get them: Heroku's command line sends numbers, too."""
        return {name: str(value) for name, value in (self.env or {}).items() if value is not None}
