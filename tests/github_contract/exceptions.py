"""The one list of places where GitHub does not do what its own description says, each with its source."""

from typing import Any

# Statuses that any operation may answer, whether its description lists them or not.
UNDESCRIBED = {
    301: "any GET of a renamed repository (recorded in @octokit/fixtures, rename-repository)",
    304: "any conditional GET (docs: Best practices for using the REST API)",
    307: "any write to a renamed repository (recorded in @octokit/fixtures, rename-repository)",
    400: "any operation with a broken body (docs: Troubleshooting the REST API)",
    401: "any operation with a bad token (docs: Authenticating to the REST API)",
    403: "any operation without the permission (docs: Troubleshooting the REST API)",
    404: "any operation on what one may not see (docs: Troubleshooting the REST API)",
    422: "any operation with a refused field (docs: Troubleshooting the REST API)",
    429: "any operation over a rate limit (docs: Rate limits for the REST API)",
}

# Places in a payload where null is right although the description asks for an object.
NULL_IN_PAYLOADS = {
    "pull_request/head/repo": "the fork was deleted (taskcluster-github#105, rest-api-description#161)",
}


def mend(description: dict[str, Any]) -> dict[str, Any]:
    """The REST description with its three known flaws put right."""
    # 1. `nullable` beside `enum`: OpenAPI 3.0.3 wants null in the enum too, GitHub leaves it out everywhere
    #    (a check run that runs has `"conclusion": null`, as in the description's own examples).
    _allow_null_in_enums(description)
    # 2. An installation's account is a user or an enterprise (`anyOf` in components/schemas/installation);
    #    the list of installations spells the same schema out with `allOf`, which nothing can fulfil.
    content = description["paths"]["/app/installations"]["get"]["responses"]["200"]["content"]["application/json"]
    content["schema"]["items"] = {"$ref": "#/components/schemas/installation"}
    # 3. A discriminator needs an object (OpenAPI 3.0.3, "Discriminator Object"); a directory is an array.
    contents = description["paths"]["/repos/{owner}/{repo}/contents/{path}"]["get"]["responses"]["200"]["content"]
    del contents["application/json"]["schema"]["discriminator"]
    return description


def _allow_null_in_enums(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("nullable") is True and None not in node.get("enum", [None]):
            node["enum"].append(None)
        for inner in node.values():
            _allow_null_in_enums(inner)
    elif isinstance(node, list):
        for inner in node:
            _allow_null_in_enums(inner)
