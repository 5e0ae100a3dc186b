"""What people ask for through the API: each verb is one transaction, then rings."""

from dataclasses import dataclass

from service.enacting.accounts import AccountVerbs
from service.enacting.apps import AppVerbs
from service.enacting.builds import BuildVerbs
from service.enacting.deliveries import DeliveryVerbs
from service.enacting.github_sign_in import GitHubSignInVerbs
from service.enacting.invitations import InvitationVerbs
from service.enacting.locks import LockVerbs
from service.enacting.looking import LookVerbs
from service.enacting.one_offs import OneOffVerbs
from service.enacting.ownership import OwnershipVerbs
from service.enacting.pipelines import PipelineVerbs
from service.enacting.promotions import PromotionVerbs
from service.enacting.pushes import PushVerbs
from service.enacting.releases import ReleaseVerbs
from service.enacting.reviews import ReviewVerbs
from service.enacting.sessions import SessionVerbs
from service.enacting.teams import TeamVerbs
from service.enacting.undoing import UndoVerbs
from service.enacting.webhooks import WebhookVerbs


@dataclass(frozen=True, slots=True, kw_only=True)
class Enactor(
    AppVerbs,
    BuildVerbs,
    DeliveryVerbs,
    LockVerbs,
    LookVerbs,
    OneOffVerbs,
    PipelineVerbs,
    ReleaseVerbs,
    PromotionVerbs,
    UndoVerbs,
    PushVerbs,
    ReviewVerbs,
    AccountVerbs,
    SessionVerbs,
    GitHubSignInVerbs,
    TeamVerbs,
    InvitationVerbs,
    OwnershipVerbs,
    WebhookVerbs,
):
    """All verbs. `actor` is who asks, as `user:EMAIL`."""
