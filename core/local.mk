# The one binary, re-executed by role.
