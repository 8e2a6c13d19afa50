"""`{% icon "alert" %}`: a sign of our sprite, known to every template. Words stand beside it, so
assistive technology passes over it.

A page has twenty of them; as an included template each cost ten times as much.
"""

from __future__ import annotations

from functools import lru_cache

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    return icon_html(static("img/icons.svg"), name, classes)


@lru_cache(maxsize=512)
def icon_html(sprite: str, name: str, classes: str) -> SafeString:
    return format_html(
        '<svg class="{}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        f"icon {classes}".rstrip(),
        sprite,
        name,
    )
