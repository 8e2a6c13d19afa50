"""Our own registered applications at Amazon: which client secrets are in force, since when, and
until when. What sellers granted is `connections`' business and is never touched from here."""
