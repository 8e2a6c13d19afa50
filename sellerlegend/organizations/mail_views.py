"""The staff's test of our mail."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from sellerlegend.errors import too_many_requests
from sellerlegend.organizations import limits, mail_trial
from sellerlegend.organizations.access import SignedInRequest
from sellerlegend.organizations.audit import Actor


class MailTrialForm(forms.Form):
    address = forms.EmailField(
        label=_("Mail address"), help_text=_("Somebody's who knows that a test mail comes.")
    )


@require_http_methods(["GET", "HEAD", "POST"])
def staff_test_mail(request: SignedInRequest) -> HttpResponseBase:
    """Staff only; nobody else learns that it exists."""
    if not request.user.is_staff:
        raise Http404("staff only")
    bound = request.POST if request.method == "POST" else None
    form = MailTrialForm(bound, initial={"address": request.user.email})
    if form.is_bound and form.is_valid():
        wait = limits.take((mail_trial.TEST_MAIL, request.user.pk.hex))
        if wait:
            return too_many_requests(request, wait)
        answer = mail_trial.send(form.cleaned_data["address"], actor=Actor.staff(request.user))
        tell = messages.success if answer.is_accepted else messages.error
        tell(request, answer.words)
        return redirect("staff_test_mail")
    status = 422 if form.is_bound else 200
    return render(request, "organizations/test_mail.html", {"form": form}, status=status)
