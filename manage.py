#!/usr/bin/env python
"""Django's command line for this project."""

from __future__ import annotations

import sys

from django.core.management import execute_from_command_line

from sellerlegend.env import use_project_settings

if __name__ == "__main__":
    use_project_settings()
    execute_from_command_line(sys.argv)
