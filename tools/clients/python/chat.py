"""An application's own module of a common name."""

OURS = True
