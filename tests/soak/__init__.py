"""The soak: real processes under a nemesis, their history recorded, and a checker of it."""
