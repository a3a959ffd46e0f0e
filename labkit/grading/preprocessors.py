"""A second name for what the configurations of released courses call by it."""

from labkit.lab import numbered_stubs

NumberedStubs = numbered_stubs()
