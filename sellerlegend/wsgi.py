"""The WSGI entry point that gunicorn loads."""

from __future__ import annotations

from importlib import import_module

from django.core.wsgi import get_wsgi_application

from sellerlegend.env import serve_people, use_project_settings
from sellerlegend.startup import require_sound_configuration

serve_people()
use_project_settings()
application = get_wsgi_application()
require_sound_configuration()
flush = import_module("sellerlegend.monitoring.flush")  # needs the applications to be ready
flush.start()
