"""What is sent to GitHub of what Towpath shows there, within GitHub's limits."""

from typing import Any, Final

import msgspec

from service.domain.reports import CheckContent, GithubDeploymentContent

MAX_DESCRIPTION: Final = 140
MAX_OUTPUT: Final = 65_535
MAX_ACTIONS: Final = 3


def check(content: CheckContent, key: str) -> dict[str, Any]:
    """What creating and updating have in common. Actions are always named: leaving them out would keep old buttons."""
    return {
        "name": content.name,
        "external_id": key,
        "status": content.status,
        "output": {"title": cut(content.title, 255), "summary": cut_bytes(content.summary, MAX_OUTPUT)},
        "actions": [
            {
                "label": cut(action.label, 20),
                "description": cut(action.description, 40),
                "identifier": action.identifier,
            }
            for action in content.actions[:MAX_ACTIONS]
        ],
        **given(conclusion=content.conclusion, details_url=content.details_url),
    }


def deployment_status(content: GithubDeploymentContent) -> dict[str, Any]:
    """`auto_inactive` would end other apps' deployments in an environment of the same name."""
    return {
        "state": content.state,
        "description": cut(content.description, MAX_DESCRIPTION),
        "environment": content.environment,
        "auto_inactive": False,
        **given(environment_url=content.environment_url, log_url=content.log_url),
    }


def key_of(payload: Any) -> str | None:
    """Our key in a deployment's payload, whatever form GitHub gave it back in."""
    if isinstance(payload, str):
        try:
            payload = msgspec.json.decode(payload)
        except (msgspec.DecodeError, RecursionError):
            return None
    match payload:
        case {"towpath": str(key)}:
            return key
        case _:
            return None


def given(**fields: str | None) -> dict[str, str]:
    """Only what has a value: GitHub takes no empty address."""
    return {name: value for name, value in fields.items() if value}


def cut(text: str, limit: int) -> str:
    """A text in no more than so many characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut_bytes(text: str, limit: int) -> str:
    """GitHub counts bytes here."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"
