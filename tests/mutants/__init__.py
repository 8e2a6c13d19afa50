"""T24: guards taken away one at a time; the tests must notice every time."""
