"""What the command line returns."""

OK, SOME_FAILED, USAGE = 0, 1, 2
