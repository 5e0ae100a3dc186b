"""What the check of a commit shows that waits for approval: who may approve it, how, and what it will get."""

from service.domain.model import Sha
from service.domain.report_text import cell
from service.domain.report_views import CheckAction, CheckReview, CheckView
from service.domain.review_rules import AWAITS_APPROVAL

APPROVE = "approve"
"""The identifier of the button."""

_BEFORE = (
    "Nothing of it runs until someone with write access to this repository approves this very commit; a later push "
    "needs an approval of its own. Look at what it does first: its code is built and run here, without any config vars "
    "of the pipeline but those that were set for forks."
)


def awaits_approval(review: CheckReview | None) -> bool:
    """Whether this commit itself waits for it: one that was built once has been approved."""
    return review is not None and review.reason in AWAITS_APPROVAL and review.request is None


def approve_action(sha: Sha) -> CheckAction:
    """The button that approves exactly the commit whose check it is on."""
    return CheckAction(label=f"Approve {sha[:7]}", description="Build this commit and run it", identifier=APPROVE)


def in_the_comment(review: CheckReview, pipeline: str, sha: Sha) -> tuple[str, ...]:
    """The line below the comment's table: who may approve, and how; empty when nothing waits for approval."""
    if review.number is None or not awaits_approval(review):
        return ()
    line = (
        f"`{sha[:7]}` waits for approval in {cell(pipeline)}: someone with write access to this repository comments "
        f"`/approve {sha}` here once they have read it, or runs `{_command(review, sha)}`. "
        "A later push needs an approval of its own."
    )
    return (line,)


def how_to_approve(view: CheckView) -> tuple[str, ...]:
    """Paragraphs for the summary; empty when nothing waits for approval."""
    review = view.review
    if review is None or review.number is None or not awaits_approval(review):
        return ()
    ways = (
        f"- press **Approve {view.sha[:7]}**, or",
        f"- comment on the pull request with this first line: `/approve {view.sha}`, or",
        f"- run `{_command(review, view.sha)}`",
    )
    return (_BEFORE, "\n".join(ways))


def _command(review: CheckReview, sha: Sha) -> str:
    return f"towpath reviewapps:approve {review.number} -p {review.pipeline} --sha {sha}"
