"""A form that came back with mistakes: the page's title says so, and the first one has the focus,
with and without JavaScript."""

from __future__ import annotations

from typing import Any

from django import template
from django.forms.boundfield import BoundField
from django.forms.forms import BaseForm
from django.forms.renderers import DjangoTemplates
from django.template import Context
from django.utils.translation import gettext as _

register = template.Library()


class MistakenField(BoundField):
    @property
    def is_first_mistake(self) -> bool:
        form = self.form
        return form.is_bound and self.name == next(
            (field.name for field in form.visible_fields() if field.errors), None
        )

    def build_widget_attrs(self, attrs: Any, widget: Any = None) -> Any:
        """A group of choices has no field of its own to focus: its template focuses the words."""
        attrs = super().build_widget_attrs(attrs, widget)
        if self.errors and not self.use_fieldset and self.is_first_mistake:
            attrs["autofocus"] = True
        return attrs


class FormRenderer(DjangoTemplates):
    bound_field_class = MistakenField


@register.simple_tag(takes_context=True)
def error_prefix(context: Context) -> str:
    """The page's own lazy values stay unasked: only their outermost type is looked at."""
    values: Any = context.flatten()
    forms = [value for value in values.values() if issubclass(type(value), BaseForm)]
    has_mistake = values.get("error") or any(form.is_bound and form.errors for form in forms)
    return _("Error:") + " " if has_mistake else ""
