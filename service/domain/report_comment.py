"""The one comment on a pull request: a table of its review apps in all pipelines, edited in place."""

from typing import Final

from service.domain.report_approval import in_the_comment
from service.domain.report_text import cell, link, table
from service.domain.report_views import CommentContent, CommentRow, CommentView
from service.domain.reports import Outcome, review_part

_NONE: Final = "No pipeline comments on this pull request any more."


def describe_comment(view: CommentView) -> CommentContent:
    """The comment's text. Nothing in it changes by time alone, so that it is edited only when something happened."""
    rows = [_row(row) for row in view.rows]
    text = table(("Pipeline", "Review app", "State", "Commit", "Why"), rows) if rows else _NONE
    ways = [line for row in view.rows for line in in_the_comment(row.review, row.pipeline, row.sha)]
    marker = f"<!-- towpath {view.repository_id}/{view.number} -->"
    busy = {Outcome.QUEUED, Outcome.RUNNING}
    return CommentContent(
        number=view.number,
        marker=marker,
        body="\n\n".join((f"{marker}\n{text}", *ways)) + "\n",
        terminal=not any(review_part(row.review).outcome in busy for row in view.rows),
    )


def _row(row: CommentRow) -> tuple[str, ...]:
    part = review_part(row.review)
    name = cell(part.app_name) if row.review.app_name else "none"
    url = link(part.url)
    return (
        cell(row.pipeline),
        f"[{name}]({url})" if url else name,
        cell(part.word),
        f"`{row.sha[:7]}`",
        cell(part.reason),
    )
