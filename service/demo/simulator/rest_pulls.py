"""REST of pull requests and their conversation."""

from service.demo.simulator import shapes, shapes_work
from service.demo.simulator.calls import Answer, Call, Route, invalid, not_found
from service.demo.simulator.git_store import ZERO
from service.demo.simulator.rest_git import files_between
from service.demo.simulator.state import Comment, Pull, stamp


def _pull(call: Call, name: str) -> Pull:
    pull = call.repo.pulls.get(call.number(name))
    if pull is None:
        raise not_found()
    return pull


async def list_pulls(call: Call) -> Answer:
    """Pull requests, newest first unless asked otherwise."""
    query = call.request.query
    state, head, base = query.get("state", "open"), query.get("head"), query.get("base")
    if state not in {"open", "closed", "all"}:
        raise invalid("PullRequest", "state", code="invalid")
    found = [
        pull
        for pull in call.repo.pulls.values()
        if state in {"all", pull.state}
        and (head is None or head == f"{pull.head_owner.login}:{pull.head_ref}")
        and base in {None, pull.base_ref}
    ]
    upward = query.get("direction", "desc" if query.get("sort", "created") == "created" else "asc") == "asc"
    by_update = query.get("sort") == "updated"
    found.sort(key=lambda pull: (pull.updated_at if by_update else pull.created_at, pull.number), reverse=not upward)
    return call.paged([shapes_work.pull_simple(call.sim.site, call.repo, pull) for pull in found])


async def get_pull(call: Call) -> Answer:
    """A pull request, and whether it merges cleanly."""
    pull = _pull(call, "number")
    await call.sim.refresh_mergeable(call.repo, pull)
    return Answer(body=shapes_work.pull_request(call.sim.site, call.repo, pull))


async def list_pull_files(call: Call) -> Answer:
    """The files a pull request changes; GitHub shows 3000 at most."""
    pull = _pull(call, "number")
    start = await call.sim.git.merge_base(call.repo.id, pull.base_sha, pull.head_sha)
    return call.paged((await files_between(call, start or ZERO, pull.head_sha))[:3000])


# Conversation ------------------------------------------------------------------------------------


def _text(call: Call) -> str:
    body = call.body.get("body")
    if not isinstance(body, str) or not body.strip():
        raise invalid("IssueComment", "body", code="missing_field")
    if len(body) > 65536:
        raise invalid("IssueComment", "body", "body is too long (maximum is 65536 characters)")
    return body


def _comment(call: Call) -> Comment:
    comment = call.repo.comments.get(call.number("comment_id"))
    if comment is None:
        raise not_found()
    return comment


async def list_comments(call: Call) -> Answer:
    """The comments on a pull request, oldest first."""
    number = _pull(call, "number").number
    found = [one for one in call.repo.comments.values() if one.number == number]
    return call.paged([shapes_work.comment(call.sim.site, call.repo, one) for one in found])


async def create_comment(call: Call) -> Answer:
    """Comment, as the App's bot or as a person."""
    number, text = _pull(call, "number").number, _text(call)
    app = call.sim.app if call.caller.account is None else None
    made = call.sim.comment(call.repo, number, text, by=call.author.login, app=app)
    return Answer(status=201, body=shapes_work.comment(call.sim.site, call.repo, made))


async def get_comment(call: Call) -> Answer:
    """One comment."""
    return Answer(body=shapes_work.comment(call.sim.site, call.repo, _comment(call)))


async def update_comment(call: Call) -> Answer:
    """Rewrite a comment."""
    made = call.sim.edit_comment(call.repo, _comment(call).id, _text(call))
    return Answer(body=shapes_work.comment(call.sim.site, call.repo, made))


async def delete_comment(call: Call) -> Answer:
    """Remove a comment."""
    call.sim.delete_comment(call.repo, _comment(call).id)
    return Answer(status=204)


async def react(call: Call) -> Answer:
    """Put a reaction on a comment; the second of a kind changes nothing."""
    comment, kind = _comment(call), call.body.get("content")
    if kind not in {"+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"}:
        raise invalid("Reaction", "content", code="invalid")
    same = [number for number, login, what in comment.reactions if (login, what) == (call.author.login, kind)]
    number = same[0] if same else call.sim.next_id()
    if not same:
        comment.reactions.append((number, call.author.login, kind))
    shown = {
        "id": number,
        "node_id": shapes.node_id("Reaction", number),
        "user": shapes.user(call.sim.site, call.author),
        "content": kind,
        "created_at": stamp(call.sim.now()),
    }
    return Answer(status=200 if same else 201, body=shown)


R = "/repos/{owner}/{repo}"
ROUTES = (
    Route("GET", R + "/pulls", list_pulls, "pull_requests"),
    Route("GET", R + "/pulls/{number}", get_pull, "pull_requests"),
    Route("GET", R + "/pulls/{number}/files", list_pull_files, "pull_requests"),
    Route("GET", R + "/issues/{number}/comments", list_comments, "pull_requests"),
    Route("POST", R + "/issues/{number}/comments", create_comment, "pull_requests:write"),
    Route("GET", R + "/issues/comments/{comment_id}", get_comment, "pull_requests"),
    Route("PATCH", R + "/issues/comments/{comment_id}", update_comment, "pull_requests:write"),
    Route("DELETE", R + "/issues/comments/{comment_id}", delete_comment, "pull_requests:write"),
    Route("POST", R + "/issues/comments/{comment_id}/reactions", react, "pull_requests:write"),
)
