"""What a person types about notices."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.formats import time_format
from django.utils.translation import gettext_lazy as _

from connections.notice_models import NotificationChoice
from connections.notification_choices import LONGEST_PAUSE


def hours() -> list[tuple[int, str]]:
    """As the reader's language writes every other time."""
    return [(hour, time_format(time(hour), "TIME_FORMAT")) for hour in range(24)]


class NotificationForm(forms.Form):
    wants = forms.ChoiceField(
        label=_("What you want by mail"),
        required=False,
        # The unset one first, as it is the default.
        choices=sorted(NotificationChoice.Wants.choices, key=lambda item: item[0] != ""),
        widget=forms.RadioSelect,
        help_text=_(
            "By role: admins and owners hear everything, members what they authorised themselves."
        ),
    )
    digest_hour = forms.TypedChoiceField(
        label=_("When the daily mail comes"),
        coerce=int,
        choices=hours,
        help_text=_("One mail for all news of a day, by the clock of your profile."),
    )
    quiet_from = forms.TypedChoiceField(label=_("Quiet from"), coerce=int, choices=hours)
    quiet_until = forms.TypedChoiceField(
        label=_("Quiet until"),
        coerce=int,
        choices=hours,
        help_text=_("No mail at all in these hours. The same hour twice: no quiet hours."),
    )
    paused_until = forms.DateField(
        label=_("No mail before"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("While you are away nothing is mailed to you, not even a revocation."),
    )

    def __init__(self, *args: Any, choice: NotificationChoice, **kwargs: Any) -> None:
        paused = choice.paused_until if choice.is_paused(timezone.now()) else None
        initial = {
            "wants": choice.wants,
            "digest_hour": choice.digest_hour,
            "quiet_from": choice.quiet_from,
            "quiet_until": choice.quiet_until,
            "paused_until": timezone.localtime(paused).date().isoformat() if paused else None,
        }
        super().__init__(*args, **{"initial": initial} | kwargs)

    def clean_paused_until(self) -> datetime | None:
        """The start of that day, by the person's clock."""
        day = self.cleaned_data["paused_until"]
        if day is None:
            return None
        today = timezone.localdate()
        if not today < day <= today + LONGEST_PAUSE:
            raise forms.ValidationError(_("Choose a day after today and within a year."))
        return timezone.make_aware(datetime.combine(day, time()))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        asked = {"digest_hour", "quiet_from", "quiet_until"}
        if asked <= cleaned.keys():
            choice = NotificationChoice(**{name: cleaned[name] for name in asked})
            at = datetime.combine(timezone.localdate(), time(choice.digest_hour))
            if choice.is_quiet(at):
                self.add_error("digest_hour", _("Choose an hour outside of your quiet hours."))
        return cleaned
