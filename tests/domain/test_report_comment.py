"""The one comment on a pull request: what it says of each pipeline, and that nobody's words break out of it."""

import pytest

from service.domain.model import RepositoryId, RequestState, ReviewState
from service.domain.report_comment import describe_comment
from service.domain.report_views import CheckReview, CommentRow, CommentView
from service.domain.review_rules import CLOSED, FORK, NO_FORKS
from tests.domain.test_reports import of_review
from tests.domain.things import A

URL = "http://shop-pr-5.localhost:5080"
R = ReviewState


def of(*reviews: CheckReview) -> CommentView:
    rows = tuple(CommentRow(pipeline=f"shop{at}", sha=A, review=review) for at, review in enumerate(reviews))
    return CommentView(repository_id=RepositoryId(7), number=5, rows=rows)


SAID = [
    ("an app that is made", of_review(R.CREATING), "creating", False),
    ("an app that is updated", of_review(R.LIVE, request=RequestState.RUNNING), "updating", False),
    ("an app that serves the commit", of_review(R.LIVE, request=RequestState.SUCCEEDED), "live", True),
    ("an app that could not be made", of_review(R.FAILED, "the build failed"), "the build failed", True),
    ("an app that was taken away", of_review(R.DESTROYED, CLOSED), "destroyed", True),
    ("an app that was idle for too long and is gone", of_review(R.DESTROYED, "no deploy for 5 days"), "5 days", True),
    ("an app that is suspended", of_review(R.SUSPENDED, "no deploy for 5 days"), "no deploy for 5 days", True),
]


@pytest.mark.parametrize(("review", "said", "final"), [case[1:] for case in SAID], ids=[case[0] for case in SAID])
def test_the_comment_says_what_becomes_of(review: CheckReview, said: str, final: bool) -> None:
    content = describe_comment(of(review))
    assert said in content.body
    assert content.body.startswith(content.marker)
    assert content.terminal is final
    assert (f"[shop-pr-5]({URL})" in content.body) == (review.state in (R.CREATING, R.LIVE))


def test_all_pipelines_are_in_one_table() -> None:
    content = describe_comment(of(of_review(R.LIVE, request=RequestState.SUCCEEDED), of_review(R.CREATING)))
    assert [line.split(" | ")[0] for line in content.body.splitlines()[3:]] == ["| shop0", "| shop1"]
    assert not content.terminal, "one of them is under way"


WAITS = of_review(R.WAITING, FORK, app_name="", number=5)
OLDER = of_review(R.LIVE, FORK, number=5)
RUNS = of_review(R.LIVE, FORK, number=5, request=RequestState.RUNNING)


@pytest.mark.parametrize(
    ("reviews", "lines"),
    [
        pytest.param((WAITS,), 1, id="a fork that waits"),
        pytest.param((OLDER,), 1, id="a fork with a newer commit that waits"),
        pytest.param((WAITS, WAITS), 2, id="one line for each pipeline it waits in"),
        pytest.param((RUNS,), 0, id="none once it was approved"),
        pytest.param((of_review(R.SKIPPED, CLOSED, number=5),), 0, id="none once it is closed"),
        pytest.param((of_review(R.SKIPPED, NO_FORKS, number=5),), 0, id="none where nobody may approve"),
    ],
)
def test_below_the_table_is_said_who_may_approve_what_waits_and_how(
    reviews: tuple[CheckReview, ...], lines: int
) -> None:
    content = describe_comment(of(*reviews))
    said = [line for line in content.body.splitlines() if "/approve" in line]
    assert len(said) == lines
    for at, line in enumerate(said):
        assert f"in shop{at}: someone with write access" in line
        assert f"`/approve {A}`" in line
        assert f"`towpath reviewapps:approve 5 -p shop --sha {A}`" in line
    assert content.terminal == (reviews != (RUNS,))


def test_nobody_s_words_break_out_of_the_table_or_call_a_person() -> None:
    content = describe_comment(of(of_review(R.FAILED, "x | y\n@everyone <img src=x> [a](http://evil)")))
    assert len(content.body.splitlines()) == 4
    assert "@everyone" not in content.body
    assert "<img" not in content.body
    assert "[a](" not in content.body


def test_where_no_pipeline_comments_any_more_nothing_is_said_of_apps_that_may_run_on() -> None:
    body = describe_comment(of()).body
    assert "No pipeline comments" in body
    assert "no review app" not in body
