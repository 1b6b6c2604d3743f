# core/tools: see the essays at the head of its headers.

bin_PROGRAMS += core/tools/mortise-passwd
core_tools_mortise_passwd_SOURCES = core/tools/mortise-passwd.c
core_tools_mortise_passwd_LDADD = core/base/libbase.a $(OPENSSL_LIBS) $(CRYPT_LIBS)
dist_man_MANS += core/tools/mortise-passwd.1
TESTS += core/tools/test-passwd.sh
EXTRA_DIST += core/tools/test-passwd.sh
