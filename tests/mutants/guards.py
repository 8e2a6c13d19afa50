"""The guards, by name: what is taken away, and the tests that must notice.

`old` stands exactly once in its file; `test_mutants.py` holds that, so that none of these rots.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One guard less: `old` becomes `new` in `file`, and `tests` must go red."""

    guard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


LEDGER = "tests/sellerlegend/jobs/test_ledger.py"
CALLBACKS = "tests/connections/test_callbacks.py"
CONNECTING = "tests/connections/test_connecting.py"
CREDENTIALS = "tests/connections/test_credentials.py"
INTERLEAVINGS = "tests/test_interleavings.py"
CRYPTO = "tests/sellerlegend/test_crypto.py"
ROTATION = "tests/connections/test_rotation.py"
PRUNING = "tests/ppc/test_pruning.py"
QUARANTINE = "tests/ppc/test_quarantine.py"
RACES = "tests/test_races.py"
SCOPING = "tests/sellerlegend/organizations/test_scoping.py"
REMOVED_SELLERS = "tests/connections/test_removed_sellers.py"
ROUTES = "tests/architecture/test_every_url.py"

MUTANTS = (
    Mutant(
        guard="the fence of a claim",
        file="sellerlegend/jobs/claims.py",
        old="filter(pk=self.job.pk, status=Job.Status.RUNNING, fence=self.fence)",
        new="filter(pk=self.job.pk, status=Job.Status.RUNNING)",
        tests=(f"{LEDGER}::test_a_worker_that_lost_its_lease_writes_nothing",),
    ),
    Mutant(
        guard="a ciphertext knows its row",
        file="sellerlegend/crypto.py",
        old="self.organization_id.hex, self.row_id.hex, kid)",
        new="self.organization_id.hex, kid)",
        tests=(f"{CRYPTO}::test_a_ciphertext_does_not_open_in_another_place",),
    ),
    Mutant(
        guard="a ciphertext knows its organization",
        file="sellerlegend/crypto.py",
        old="self.organization_id.hex, self.row_id.hex, kid)",
        new="self.row_id.hex, kid)",
        tests=(
            f"{CRYPTO}::test_a_known_text_stays_readable_for_ever",
            f"{CRYPTO}::test_the_organization_alone_is_enough_to_keep_a_ciphertext_shut",
        ),
    ),
    Mutant(
        guard="a state belongs to one browser",
        file="connections/authorization.py",
        old="return constant_time_compare(crypto.digest(value), request.browser_hash)",
        new="return True",
        tests=(
            f"{CALLBACKS}::test_a_victim_cannot_be_made_to_finish_an_attackers_trip",
            f"{CALLBACKS}::test_signed_out_in_between_the_trip_is_kept_and_the_code_is_not",
        ),
    ),
    Mutant(
        guard="a state works once",
        file="connections/authorization.py",
        old="pk=request.pk, status=Status.OPEN",
        new="pk=request.pk",
        tests=(f"{RACES}::test_one_callback_opened_many_times_at_once_is_exchanged_once[spapi-8]",),
    ),
    Mutant(
        guard="membership is read again in the callback",
        file="connections/authorization.py",
        old="if membership is None or not membership.may(Role.MEMBER):",
        new="if False:",
        tests=(f"{CALLBACKS}::test_who_may_no_longer_connect_cannot_finish",),
    ),
    Mutant(
        guard="no query without an organization",
        file="sellerlegend/organizations/scoping.py",
        old="if not (self.is_scoped or _across.get()):",
        new="if False:",
        tests=(f"{SCOPING}::test_an_unscoped_query_raises_before_there_is_sql",),
    ),
    Mutant(
        guard="another organization's pages are not there",
        file="sellerlegend/organizations/access.py",
        old="own: QuerySet[Any, Any] = Membership.objects.for_user(User(pk=user_id)).filter(",
        new="own: QuerySet[Any, Any] = Membership._base_manager.filter(",
        tests=(f"{ROUTES}::test_another_organization_is_not_there",),
    ),
    Mutant(
        guard="a role is required",
        file="sellerlegend/organizations/access.py",
        old="if not membership.may(role):",
        new="if False:",
        tests=(f"{ROUTES}::test_too_low_a_role_is_refused",),
    ),
    Mutant(
        guard="state changes by POST only",
        file="connections/views.py",
        old=(
            "@require_POST\n@organization_view(Role.MEMBER)\n"
            "def connection_confirm(request: OrganizationRequest"
        ),
        new=(
            "@organization_view(Role.MEMBER)\ndef connection_confirm(request: OrganizationRequest"
        ),
        tests=(f"{ROUTES}::test_a_wrong_method_is_refused",),
    ),
    Mutant(
        guard="forms carry a CSRF token",
        file="sellerlegend/settings.py",
        old='    "django.middleware.csrf.CsrfViewMiddleware",\n',
        new="",
        tests=(f"{ROUTES}::test_a_post_without_a_csrf_token_is_refused",),
    ),
    Mutant(
        guard="the version of a consent",
        file="connections/observations.py",
        old="_base_manager.filter(pk=grant.pk, version=grant.version)",
        new="_base_manager.filter(pk=grant.pk)",
        tests=(
            f"{CREDENTIALS}::test_a_late_refusal_of_the_old_consent_does_not_touch_the_new_one",
            f"{CREDENTIALS}::test_a_late_success_of_the_old_consent_does_not_touch_the_new_one",
        ),
    ),
    Mutant(
        guard="one refresh at a time",
        file="connections/grants.py",
        old="mine = model._base_manager.filter(is_free, pk=pk, version=version)",
        new="mine = model._base_manager.filter(pk=pk, version=version)",
        tests=(f"{CREDENTIALS}::test_fifty_readers_of_a_cold_cache_make_one_refresh",),
    ),
    Mutant(
        guard="an answer for an older consent leaves no token",
        file="connections/credentials.py",
        old="if not is_mine:\n            token_cache.forget(",
        new="if False:\n            token_cache.forget(",
        tests=(f"{CREDENTIALS}::test_an_acceptance_that_fails_leaves_no_token_in_the_cache",),
    ),
    Mutant(
        guard="another refresh token replaces the one it came for",
        file="connections/credentials.py",
        old="mine = observations.current(grant).filter(is_mine)",
        new="mine = observations.current(grant)",
        tests=(f"{INTERLEAVINGS}::test_a_refresh_beyond_its_lease_and_the_one_that_took_it_over",),
    ),
    Mutant(
        guard="a refresh whose lease was taken over is not accepted",
        file="connections/grants.py",
        old="pk=pk, version=version, fingerprint=fingerprint, refresh_lease_until=lease",
        new="pk=pk, version=version, fingerprint=fingerprint",
        tests=(
            f"{CREDENTIALS}::test_who_lost_its_lease_to_a_clock_that_is_ahead_keeps_nothing",
            f"{CREDENTIALS}::test_only_ones_own_lease_is_freed",
        ),
    ),
    Mutant(
        guard="a token that comes after its lease is not cached",
        file="connections/credentials.py",
        old="if timezone.now() < lease:",
        new="if True:",
        tests=(f"{INTERLEAVINGS}::test_a_refresh_beyond_its_lease_and_the_one_that_took_it_over",),
    ),
    Mutant(
        guard="a token that came between the look and the lease is found",
        file="connections/credentials.py",
        old="if not force and seen != (None, grant.last_refreshed_at):",
        new="if False:",
        tests=(
            f"{CREDENTIALS}::test_what_a_neighbour_got_between_our_look_and_our_lease_is_found",
        ),
    ),
    Mutant(
        guard="our own wrong secret is no seller's fault",
        file="sellerlegend/amazon/classify.py",
        old="return ClientSecretRefused(request_id, operation)",
        new="return GrantInvalid(request_id, operation)",
        tests=(f"{CREDENTIALS}::test_a_wrong_client_secret_changes_no_grant",),
    ),
    Mutant(
        guard="foreign text is cleaned",
        file="sellerlegend/amazon/http.py",
        old='text = _LONE_SURROGATE_OR_NUL.sub("\\ufffd", text)',
        new="text = str(text)",
        tests=("tests/sellerlegend/amazon/test_http.py::test_text_is_cleaned",),
    ),
    Mutant(
        guard="redirects are not followed",
        file="sellerlegend/amazon/http.py",
        old="allow_redirects=False,",
        new="allow_redirects=True,",
        tests=(
            "tests/sellerlegend/amazon/test_http.py::test_a_redirect_is_returned_and_not_followed",
        ),
    ),
    Mutant(
        guard="no fake Amazon in production",
        file="sellerlegend/env.py",
        old='if is_production(info) and value:\n            raise ValueError("is refused',
        new='if False:\n            raise ValueError("is refused',
        tests=(
            "tests/sellerlegend/test_env.py::test_forbidden_combinations_are_reported_together",
        ),
    ),
    Mutant(
        guard="a rotation writes only over what it read",
        file="connections/rotation.py",
        old="_base_manager.filter(pk=row.pk, **{sealed.column: text})",
        new="_base_manager.filter(pk=row.pk)",
        tests=(f"{ROTATION}::test_a_token_stored_after_the_rotation_read_is_not_reverted",),
    ),
    Mutant(
        guard="a fresh sign-in before what cannot be taken back",
        file="sellerlegend/organizations/step_up.py",
        old="if has_fresh_sign_in(request):",
        new="if True:",
        tests=("tests/sellerlegend/organizations/test_step_up.py",),
    ),
    Mutant(
        guard="a fresh sign-in before staff change anything",
        file="sellerlegend/organizations/admin_site.py",
        old="guarded = view if view == self.logout else changes_want_proof(view)",
        new="guarded = view",
        tests=("tests/architecture/test_staff_routes.py::test_an_old_session_ends_no_consent",),
    ),
    Mutant(
        guard="a fresh sign-in before somebody else's consent is undone",
        file="connections/views.py",
        old="if not (is_own_step or has_fresh_sign_in(request)):",
        new="if False:",
        tests=(f"{CONNECTING}::test_nobody_else_undoes_by_a_session_that_was_left_open",),
    ),
    Mutant(
        guard="a fault of our own keys condemns no consent",
        file="connections/credentials.py",
        old="except crypto.DataKeyUnreadable as error:",
        new="except crypto.KeyNotLoaded as error:",
        tests=(f"{CREDENTIALS}::test_a_fault_of_our_own_keys_changes_no_sellers_row",),
    ),
    Mutant(
        guard="nothing is wrapped under a retired key",
        file="sellerlegend/organizations/custody.py",
        old="if kid in retired_keys():",
        new="if False:",
        tests=(f"{ROTATION}::test_a_retired_key_wraps_nothing_any_more",),
    ),
    Mutant(
        guard="a removed row comes back by an administrator alone",
        file="connections/removal.py",
        old="return own is not None and own.may(Role.ADMIN)",
        new="return True",
        tests=(
            f"{REMOVED_SELLERS}::test_only_an_administrator_brings_a_row_back",
            f"{REMOVED_SELLERS}::test_what_happens_during_the_exchange_counts[demoted]",
        ),
    ),
    Mutant(
        guard="what is erased is looked at again under the lock",
        file="ppc/erasure.py",
        old='row = due.select_for_update(of=("self",)).first()',
        new="row = seen",
        tests=(f"{PRUNING}::test_a_consent_that_commits_while_prune_waits_for_the_lock_stays",),
    ),
    Mutant(
        guard="what ends is written down before it ends",
        file="sellerlegend/deletions.py",
        old='append(line | {"state": BEGUN})',
        new="pass",
        tests=("tests/ppc/test_restoring.py::test_what_cannot_be_noted_is_not_ended",),
    ),
    Mutant(
        guard="a sign of a restored backup stays",
        file="sellerlegend/organizations/quarantine.py",
        old="if found and _begin(found):",
        new="if found == cause:",
        tests=(f"{QUARANTINE}::test_a_sign_that_goes_away_ends_nothing",),
    ),
    Mutant(
        guard="no command asks Amazon in quarantine",
        file="sellerlegend/commands.py",
        old="if not is_dry and not self.works_in_quarantine:",
        new="if False:",
        tests=(f"{QUARANTINE}::test_no_command_asks_amazon_erases_or_queues",),
    ),
)
