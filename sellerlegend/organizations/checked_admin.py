"""Staff lists whose address or form holds what no page of ours sends: answered as Django's admin
answers such input, with the whole list, and never with a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, ChangeList
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

NUL = "\0"
# Of a pattern nobody knows how long the database would look for it.
PATTERNS = frozenset({"regex", "iregex"})
# What only the query itself finds wrong with a value: a year beyond the calendar, half a range.
UNFIT = (ValueError, OverflowError, TypeError, IndexError)


class CheckedChangeList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        """Django checks values where it builds the query, and not where the query meets them."""
        try:
            super().get_results(request)
        except UNFIT as error:
            if not self.params:
                raise
            raise IncorrectLookupParameters(error) from None


class CheckedLists(ModelAdmin):
    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CheckedChangeList

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        if lookup.rpartition("__")[2] in PATTERNS:
            return False
        return super().lookup_allowed(lookup, value, request)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """PostgreSQL stores no NUL, so no list can be narrowed by one; and what is no id is no
        row."""
        if any(NUL in value for values in request.GET.lists() for value in values[1]):
            return redirect(f"{request.path}?{ERROR_FLAG}=1")
        if ACTION_CHECKBOX_NAME in request.POST:
            posted = request.POST.copy()
            chosen = posted.getlist(ACTION_CHECKBOX_NAME)
            posted.setlist(ACTION_CHECKBOX_NAME, [key for key in chosen if self.is_key(key)])
            request.POST = posted  # type: ignore[assignment]  # Django's own setter takes any
        return super().changelist_view(request, extra_context)

    def is_key(self, text: str) -> bool:
        try:
            self.opts.pk.clean(text, None)
        except ValidationError:
            return False
        return NUL not in text
