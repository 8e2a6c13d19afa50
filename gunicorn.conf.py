"""gunicorn reads this from the folder it starts in: its own lines, from before it loads the product
and of the process that watches the others, are JSON like all others."""

from __future__ import annotations

from sellerlegend.logs import JsonFormatter

logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "gunicorn.error": {"handlers": [], "level": "INFO", "propagate": True},
        # A request is one line of the product's, without its address.
        "gunicorn.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}
