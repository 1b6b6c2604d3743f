# tests/authn: password backends as an administrator asks them, against the real components where they need one.
AUTHN_TESTS = tests/authn/verdicts.py tests/authn/sql.py tests/authn/ldap.py tests/authn/krb5.py tests/authn/imap.py
TESTS += $(AUTHN_TESTS)
EXTRA_DIST += $(AUTHN_TESTS) tests/lib/authn.py
