# tests/roles: processes, limits, TLS, against the real daemon.
check_PROGRAMS += tests/roles/tls-client
tests_roles_tls_client_SOURCES = tests/roles/tls-client.c
tests_roles_tls_client_LDADD = $(OPENSSL_LIBS)

ROLE_TESTS = tests/roles/limits.py tests/roles/tls.py tests/roles/compress.py tests/roles/idle.py tests/roles/announcements.py tests/roles/unauthenticate.py tests/roles/kill.py tests/roles/reload.py tests/roles/preauth.py \
	tests/roles/activation.py tests/roles/sandbox.py tests/roles/sharing.py tests/roles/crashes.py tests/roles/no-configuration.py tests/roles/service.py
TESTS += $(ROLE_TESTS)
EXTRA_DIST += $(ROLE_TESTS)
