"""Whatever order, doubling and loss of what arrives: the same end, and never what must not be on the way."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.decisions import CreateReviewApp, Deploy, Destroy, Look, Nothing, Request, SetReview, Wait
from service.domain.deploys import DEPLOY, DESTROY
from service.domain.facts import PullRequest
from service.domain.lifecycle import Signal, advance, signal_to
from service.domain.model import AppState, QueuedRequest, RequestId, RequestState, ReviewApp, ReviewState, Sha
from service.domain.review_apps import ReviewView, plan
from service.domain.review_rules import OVER
from tests.domain.things import app, pr_fact, pull_request, request, review, review_view

SHAS = [Sha(letter * 40) for letter in "abcdef"]


class World:
    """The least that carries decisions out: a queue, an app, a review app, and a GitHub to look at."""

    def __init__(self) -> None:
        self.truth = pull_request()
        self.view: ReviewView = review_view(pull_request=None)
        self.serial = 0
        self.deployed: list[Sha] = []

    def event(self) -> None:
        """A delivery only says that something may be new."""
        fact = self.view.pull_request
        if fact is not None:
            self.view = replace(self.view, pull_request=replace(fact, stale=True))

    def reconcile(self) -> None:
        for _ in range(10):
            decisions = plan(self.view)
            for decision in decisions:
                self.enact(decision)
            self.check()
            if all(isinstance(decision, Wait | Nothing) for decision in decisions):
                self.check_rest()
                return
        raise AssertionError("the plan never comes to rest")

    def enact(self, decision: object) -> None:
        match decision:
            case Look():
                self.view = replace(self.view, pull_request=pr_fact(self.truth))
            case CreateReviewApp(deploy=deploy):
                former = self.view.review
                assert former is None or former.state in OVER or former.state is ReviewState.WAITING
                self.view = replace(
                    self.view, review=self.made(ReviewState.CREATING, deploy.sha), app=app(), last_deploy=None
                )
                self.queue(deploy)
            case SetReview(state=state, reason=reason, sha=sha):
                current = self.view.review
                if current is None or (current.state in OVER and state is ReviewState.WAITING):
                    self.view = replace(self.view, review=self.made(state, sha))
                else:
                    moved = advance(current.state, signal_to(current.state, state))
                    self.view = replace(self.view, review=replace(current, state=moved, reason=reason, sha=sha))
            case Request(work=Deploy() as deploy):
                self.queue(deploy)
            case Request(work=Destroy(reason=reason)):
                self.move(Signal.DESTROY, reason)
                gone = self.add(DESTROY, None)
                self.view = replace(self.view, app=app(state=AppState.DESTROYING), queue=(gone,))

    def made(self, state: ReviewState, sha: Sha) -> ReviewApp:
        former = self.view.review
        generation = 1 if former is None else former.generation + (former.state in OVER)
        return review(state=state, sha=sha, generation=generation, deployed_at=None)

    def move(self, signal: Signal, reason: str = "") -> None:
        assert self.view.review is not None
        moved = advance(self.view.review.state, signal)
        kept = reason or self.view.review.reason
        self.view = replace(self.view, review=replace(self.view.review, state=moved, reason=kept))

    def add(self, kind: str, sha: Sha | None) -> QueuedRequest:
        self.serial += 1
        return request(sha, RequestState.QUEUED, kind=kind, seq=self.serial, id=RequestId(str(self.serial)))

    def queue(self, deploy: Deploy) -> None:
        """A newer deploy supersedes those that only wait."""
        running = tuple(each for each in self.view.queue if each.state is RequestState.RUNNING)
        assert self.view.review is not None
        wanted = replace(self.view.review, sha=deploy.sha)
        self.view = replace(self.view, review=wanted, queue=(*running, self.add(DEPLOY, deploy.sha)))

    def work(self) -> None:
        """One step of the app's queue."""
        if not self.view.queue:
            return
        first, *rest = self.view.queue
        if first.state is RequestState.QUEUED:
            self.view = replace(self.view, queue=(replace(first, state=RequestState.RUNNING), *rest))
            return
        self.view = replace(self.view, queue=tuple(rest))
        if first.kind == DESTROY:
            self.move(Signal.VANISH)
            self.view = replace(self.view, app=app(state=AppState.GONE), last_deploy=None)
        elif first.sha is not None:
            self.move(Signal.SUCCEED)
            self.deployed.append(first.sha)
            self.view = replace(self.view, last_deploy=replace(first, state=RequestState.SUCCEEDED))
        self.reconcile()

    def check(self) -> None:
        waiting = [each for each in self.view.queue if each.state is RequestState.QUEUED and each.kind == DEPLOY]
        assert len(waiting) <= 1
        leaving = [each for each in self.view.queue if each.kind == DESTROY]
        assert not leaving or self.view.queue[-1].kind == DESTROY

    def check_rest(self) -> None:
        known = self.view.pull_request
        if known is not None and known.value is not None and known.value.state == "closed":
            assert not any(each.kind == DEPLOY for each in self.view.queue)

    def settle(self) -> None:
        self.event()
        self.reconcile()
        while self.view.queue:
            self.work()
        self.reconcile()


def closed(truth: PullRequest) -> PullRequest:
    return replace(truth, state="closed")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from(SHAS)),
        st.tuples(st.sampled_from(["close", "reopen", "event", "work", "reconcile"]), st.none()),
    ),
    max_size=40,
)


def play(world: World, steps: list[tuple[str, Sha | None]]) -> None:
    for step, sha in steps:
        match step:
            case "push" if sha is not None:
                world.truth = replace(world.truth, head_sha=sha)
            case "close":
                world.truth = closed(world.truth)
            case "reopen":
                world.truth = replace(world.truth, state="open")
            case "event":
                world.event()
                world.reconcile()
            case "work":
                world.work()
            case _:
                world.reconcile()


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_the_end_depends_on_the_truth_alone(steps: list[tuple[str, Sha | None]]) -> None:
    world = World()
    play(world, steps)
    world.settle()
    if world.truth.state == "open":
        assert world.view.review is not None
        assert world.view.review.state is ReviewState.LIVE
        assert world.deployed[-1] == world.truth.head_sha
    else:
        assert world.view.review is None or world.view.review.state in OVER
        assert world.view.app is None or world.view.app.state is AppState.GONE


@given(STEPS, STEPS)
@settings(max_examples=150, deadline=None)
def test_after_a_close_no_app_is_left_and_none_comes(
    before: list[tuple[str, Sha | None]], late: list[tuple[str, Sha | None]]
) -> None:
    world = World()
    play(world, before)
    world.truth = closed(world.truth)
    world.settle()
    deployed = len(world.deployed)
    play(world, [step for step in late if step[0] != "reopen"])
    world.settle()
    assert len(world.deployed) == deployed
    assert world.view.app is None or world.view.app.state is AppState.GONE


@given(st.integers(min_value=1, max_value=100))
def test_doubled_events_ask_for_one_deploy(times: int) -> None:
    world = World()
    for _ in range(times):
        world.event()
        world.reconcile()
    world.settle()
    assert world.deployed == [world.truth.head_sha]
