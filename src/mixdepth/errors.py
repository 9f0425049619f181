"""The one exception for mistakes that a user can mend."""


class UserError(Exception):
    """A mistake in the input or the configuration.

    The message names the file or key, what was found, what was expected and what to do. Workflow scripts print it
    alone, without a traceback (see ``mixdepth.stage``).
    """
